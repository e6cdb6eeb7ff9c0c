package fakehost

// Standard returns a new set of all families.
func Standard() []Family {
	return []Family{
		&Accounts{},
		&Mounts{},
		&Kernel{},
		&Coreutils{},
		&Systemd{},
		&Quadlet{},
		&Apt{},
		&Modules{},
		&Nft{},
		&Network{},
		&Power{},
		&Shell{},
	}
}
