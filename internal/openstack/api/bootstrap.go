package api

// ServiceUser is a service with its own user, and where it answers.
type ServiceUser struct {
	// User is the name of the user; empty for none (Keystone).
	User string
	// Secret is the name of the user's password.
	Secret string
	// Name and Type are the entry in the catalogue; no entry without a type.
	Name, Type string
	// URL is where clients reach it; Internal and Admin where the other
	// services do, and are the same as URL when empty.
	URL, Internal, Admin string
}

// ServiceProject is where the services' users have their roles.
const ServiceProject = "service"

// Bootstrap lists what the services need to be there: the project "service", the
// roles, each service's user with the roles admin and service in that project,
// and each service's entry in the catalogue with its three endpoints. Keystone
// itself has made the user admin and its own entry already.
func Bootstrap(region string, all ...ServiceUser) []Resource {
	out := []Resource{
		&Project{Name: ServiceProject, Domain: "Default", Description: "The services of the cloud"},
		&Role{Name: "service"},
	}
	for _, s := range all {
		if s.User != "" {
			out = append(out, &User{Name: s.User, Domain: "Default", Password: s.Secret})
			for _, role := range []string{"admin", "service"} {
				out = append(out, &RoleAssignment{User: s.User, Role: role, Project: ServiceProject})
			}
		}
		if s.Type != "" {
			out = append(out, &Service{Type: s.Type, Name: s.Name})
			out = append(out, s.endpoints(region)...)
		}
	}
	return out
}

func (s ServiceUser) endpoints(region string) []Resource {
	var out []Resource
	for _, e := range []struct{ iface, url string }{{"public", s.URL}, {"internal", s.Internal}, {"admin", s.Admin}} {
		if e.url == "" {
			e.url = s.URL
		}
		out = append(out, &Endpoint{Type: s.Type, Interface: e.iface, Region: region, URL: e.url})
	}
	return out
}
