package fakehost

import (
	"context"
	"strconv"

	"github.com/updraft-cloud/updraft/internal/resource"
)

func (a *Accounts) groupadd(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "--gid=", "--system")
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 1 {
		return resource.Output{}, Refuse(c, "want one group name")
	}
	return edit(h, c, func(d *accountDBs) (int, string) {
		name, gid := args.Rest[0], args.Get("--gid")
		switch {
		case d.group.row(0, name) != nil:
			return 9, "group '" + name + "' already exists"
		case gid != "" && d.group.row(2, gid) != nil:
			return 4, "GID '" + gid + "' already exists"
		case gid == "":
			gid = d.group.freeID(args.Has("--system"))
		}
		d.addGroup(name, gid)
		return 0, ""
	})
}

func (a *Accounts) groupmod(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c, "--gid=")
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 1 || args.Get("--gid") == "" {
		return resource.Output{}, Refuse(c, "want --gid and one group name")
	}
	return edit(h, c, func(d *accountDBs) (int, string) {
		row, gid := d.group.row(0, args.Rest[0]), args.Get("--gid")
		if row == nil {
			return 6, "group '" + args.Rest[0] + "' does not exist"
		}
		if other := d.group.row(2, gid); other != nil && other[0] != row[0] {
			return 4, "GID '" + gid + "' already exists"
		}
		for _, user := range d.passwd.rows { // groupmod moves the users along
			if user[3] == row[2] {
				user[3] = gid
			}
		}
		row[2] = gid
		return 0, ""
	})
}

func (a *Accounts) groupdel(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	args, err := ParseArgs(c)
	if err != nil {
		return resource.Output{}, err
	}
	if len(args.Rest) != 1 {
		return resource.Output{}, Refuse(c, "want one group name")
	}
	return edit(h, c, func(d *accountDBs) (int, string) {
		row := d.group.row(0, args.Rest[0])
		if row == nil {
			return 6, "group '" + args.Rest[0] + "' does not exist"
		}
		if user := d.passwd.row(3, row[2]); user != nil {
			return 8, "cannot remove the primary group of user '" + user[0] + "'"
		}
		d.group.delete(row[0])
		d.gshadow.delete(row[0])
		return 0, ""
	})
}

// namesOf reads the names of users and groups by number.
func namesOf(f *FS) ownerNames {
	out := ownerNames{map[int]string{}, map[int]string{}}
	fill := func(to map[int]string, file string) {
		if _, err := f.Stat("/etc/" + file); err != nil {
			return
		}
		for _, row := range openDB(f, file).rows {
			if id, err := strconv.Atoi(row[2]); err == nil && len(row) > 2 {
				if _, seen := to[id]; !seen {
					to[id] = row[0]
				}
			}
		}
	}
	fill(out.users, "passwd")
	fill(out.groups, "group")
	return out
}
