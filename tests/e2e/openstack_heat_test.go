package e2e

import (
	"os"
	"strings"
	"testing"
)

// stackTemplate is a network, a subnet of it, and a server in it with the user data
// that Heat gives by default.
const stackTemplate = `heat_template_version: 2021-04-16
resources:
  net: {type: "OS::Neutron::Net"}
  subnet: {type: "OS::Neutron::Subnet", properties: {network: {get_resource: net}, cidr: 192.168.77.0/24}}
  server:
    type: OS::Nova::Server
    depends_on: subnet
    properties: {image: proof, flavor: proof, networks: [{network: {get_resource: net}}]}
outputs:
  address: {value: {get_attr: [server, first_address]}}
`

// stacks adds Heat to a cloud that runs, has it make a stack, and takes it out again.
func stacks(t *testing.T, c *cloud) {
	before, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	c.write(strings.Replace(string(before), "openstack:\n", "openstack:\n  services: [heat]\n", 1))
	c.run("apply")
	c.expectSettled()
	stack := func(stdin string, args ...string) string {
		cmd := c.command(t.Context(), append([]string{"openstack", "--", "stack"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("stack %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	stack(stackTemplate, "create", "--wait", "--timeout", "5", "-t", "/dev/stdin", "proof")
	if out := stack("", "output", "show", "proof", "address", "-f", "value", "-c", "output_value"); !strings.HasPrefix(out, "192.168.77.") {
		t.Errorf("the server's address is %s", out)
	}
	stack("", "delete", "--yes", "--wait", "proof")
	c.write(string(before))
	c.run("apply")
	c.expectSettled()
	if out := c.client(t)("catalog", "list"); strings.Contains(out, "orchestration") {
		t.Errorf("Heat was taken out, and is still in the catalogue:\n%s", out)
	}
}
