package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// pollEvery is how often a state is looked at that changes by itself. Nova takes
// tens of milliseconds to answer.
const pollEvery = 250 * time.Millisecond

// probeTimeout bounds one ping, connection or request to the server.
const probeTimeout = 3 * time.Second

// vmRun is one run of a vm check.
type vmRun struct {
	c      *VM
	v      verify.Vantage
	d      *VMDetail
	client *api.Client
	ids    struct{ image, flavor, network, external, group, port string }
}

func (r *vmRun) stages(ctx context.Context) error {
	steps := []struct {
		name string
		on   bool
		do   func(context.Context) error
	}{
		{stageConnect, true, r.connect}, {stageLeftovers, true, r.removeAll}, {stagePrepare, true, r.prepare},
		{stageActive, true, r.boot}, {stageFloating, r.c.External != "", r.float}, {stageConsole, r.watches(), r.watch},
		{stagePing, r.c.External != "" && r.c.Ping, r.ping}, {stageTCP, r.c.External != "" && r.c.Port > 0, r.tcp},
		{stageHTTP, r.c.External != "" && r.c.Port > 0 && r.c.HTTP != "", r.http},
	}
	for _, s := range steps {
		if !s.on {
			continue
		}
		if err := r.stage(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

// stage does one stage and notes how long it took.
func (r *vmRun) stage(ctx context.Context, name string, do func(context.Context) error) error {
	start := time.Now()
	err := do(ctx)
	s := Stage{Name: name, Time: time.Since(start)}
	if err != nil {
		s.Error = err.Error()
	}
	r.d.Stages = append(r.d.Stages, s)
	if err == nil || errors.Is(err, verify.ErrVantage) || ctx.Err() != nil {
		return err
	}
	return failf("%s: %s", name, err)
}

func (r *vmRun) connect(ctx context.Context) (err error) {
	r.client, err = connect(ctx, r.c.access, r.v)
	return err
}

// named is what most things of the API have.
type named struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Status      string `json:"status"`
}

// find returns the ID of the thing of a name.
func (r *vmRun) find(ctx context.Context, service, path, plural, name string) (string, error) {
	var all []named
	if err := r.client.All(ctx, service, path, plural, &all); err != nil {
		return "", err
	}
	id := ""
	for _, n := range all {
		if n.Name != name {
			continue
		}
		if id != "" {
			return "", fmt.Errorf("%s %s is not clear: %s and %s are both called that", strings.TrimSuffix(plural, "s"), name, id, n.ID)
		}
		id = n.ID
	}
	if id == "" {
		return "", fmt.Errorf("there is no %s %s", strings.TrimSuffix(plural, "s"), name)
	}
	return id, nil
}

// prepare finds what the server is made of, and makes a security group.
func (r *vmRun) prepare(ctx context.Context) error {
	for _, f := range []struct {
		service, path, plural, name string
		id                          *string
	}{
		{"image", "images?limit=1000&visibility=all", "images", r.c.Image, &r.ids.image},
		{"compute", "flavors?is_public=None", "flavors", r.c.Flavor, &r.ids.flavor},
		{"network", "networks", "networks", r.c.Network, &r.ids.network},
		{"network", "networks", "networks", r.c.External, &r.ids.external},
	} {
		if f.name == "" {
			continue
		}
		id, err := r.find(ctx, f.service, f.path, f.plural, f.name)
		if err != nil {
			return err
		}
		*f.id = id
	}
	return r.makeGroup(ctx)
}

// makeGroup makes a security group that lets pings and the port in.
func (r *vmRun) makeGroup(ctx context.Context) error {
	var made struct {
		Group named `json:"security_group"`
	}
	body := map[string]any{"security_group": map[string]string{"name": r.d.Name, "description": r.d.Name}}
	if err := r.client.Call(ctx, "network", http.MethodPost, "security-groups", body, &made, "make a security group"); err != nil {
		return err
	}
	r.ids.group = made.Group.ID
	rules := []map[string]any{{"protocol": "icmp"}}
	if r.c.Port > 0 {
		rules = append(rules, map[string]any{"protocol": "tcp", "port_range_min": r.c.Port, "port_range_max": r.c.Port})
	}
	for _, rule := range rules {
		rule["security_group_id"], rule["direction"], rule["ethertype"] = r.ids.group, "ingress", "IPv4"
		body := map[string]any{"security_group_rule": rule}
		if err := r.client.Call(ctx, "network", http.MethodPost, "security-group-rules", body, nil, "add a rule to the security group"); err != nil {
			return err
		}
	}
	return nil
}

// server is what is looked at of a server.
type server struct {
	named
	Metadata map[string]string `json:"metadata"`
	Host     string            `json:"OS-EXT-SRV-ATTR:host"`
	Task     string            `json:"OS-EXT-STS:task_state"`
	Fault    struct {
		Message string `json:"message"`
	} `json:"fault"`
}

// tagKey is the metadata by which a server of a check is known.
const tagKey = "updraft-check"

// boot makes the server and waits until it is ACTIVE.
func (r *vmRun) boot(ctx context.Context) error {
	spec := map[string]any{
		"name": r.d.Name, "imageRef": r.ids.image, "flavorRef": r.ids.flavor,
		"networks": []map[string]string{{"uuid": r.ids.network}}, "security_groups": []map[string]string{{"name": r.d.Name}},
		"metadata": map[string]string{tagKey: r.d.Name},
	}
	if r.c.Zone != "" {
		spec["availability_zone"] = r.c.Zone
	}
	var made struct{ Server server }
	if err := r.client.Call(ctx, "compute", http.MethodPost, "servers", map[string]any{"server": spec}, &made, "start a server"); err != nil {
		return err
	}
	r.d.Server = made.Server.ID
	err := until(ctx, time.Duration(r.c.ActiveWithin), func(ctx context.Context) error {
		s, err := r.look(ctx)
		switch {
		case err != nil:
			return err
		case s.Status == "ERROR":
			return retry.Mark(fmt.Errorf("the server is in state ERROR: %s", cmp.Or(s.Fault.Message, "Nova gives no reason, as for a server whose compute was started again under it")), retry.Permanent)
		case s.Status != "ACTIVE":
			return retry.Mark(fmt.Errorf("the server is in state %s (%s)", s.Status, s.Task), retry.Transient)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.findPort(ctx)
}

func (r *vmRun) look(ctx context.Context) (server, error) {
	var doc struct{ Server server }
	err := r.client.Call(ctx, "compute", http.MethodGet, "servers/"+r.d.Server, nil, &doc, "look at the server")
	if err == nil {
		r.d.Host, r.d.Fault = doc.Server.Host, doc.Server.Fault.Message
	}
	return doc.Server, err
}

func (r *vmRun) findPort(ctx context.Context) error {
	var ports []struct {
		ID  string `json:"id"`
		IPs []struct {
			Address string `json:"ip_address"`
		} `json:"fixed_ips"`
	}
	if err := r.client.All(ctx, "network", "ports?device_id="+r.d.Server, "ports", &ports); err != nil {
		return err
	}
	if len(ports) == 0 || len(ports[0].IPs) == 0 {
		return errors.New("the server has no address")
	}
	r.ids.port, r.d.Address = ports[0].ID, ports[0].IPs[0].Address
	return nil
}

// float gives the server a floating IP.
func (r *vmRun) float(ctx context.Context) error {
	var made struct {
		IP struct {
			Address string `json:"floating_ip_address"`
		} `json:"floatingip"`
	}
	body := map[string]any{"floatingip": map[string]string{
		"floating_network_id": r.ids.external, "port_id": r.ids.port, "description": r.d.Name,
	}}
	err := r.client.Call(ctx, "network", http.MethodPost, "floatingips", body, &made, "get a floating IP")
	r.d.Floating = made.IP.Address
	return err
}

func (r *vmRun) watches() bool { return r.c.Marker != "" || r.c.DHCP != "" || r.c.Metadata != "" }

// watch waits until the console shows all that it is to show.
func (r *vmRun) watch(ctx context.Context) error {
	return until(ctx, time.Duration(r.c.ConsoleWithin), func(ctx context.Context) error {
		lines, err := r.console(ctx)
		if err != nil {
			return err
		}
		for _, want := range []struct{ what, pattern, holds string }{
			{"dhcp", r.c.DHCP, r.d.Address}, {"metadata", r.c.Metadata, r.d.Name}, {"marker", r.c.Marker, ""},
		} {
			if err := shows(lines, want.what, want.pattern, want.holds); err != nil {
				return err
			}
		}
		return nil
	})
}

// shows returns an error unless a line matches the pattern and holds the text.
func shows(lines []string, what, pattern, holds string) error {
	if pattern == "" {
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	near := ""
	for _, l := range lines {
		if re.MatchString(l) {
			if near = l; strings.Contains(l, holds) {
				return nil
			}
		}
	}
	err = fmt.Errorf("no line on the console matches the %s /%s/", what, pattern)
	if near != "" {
		err = fmt.Errorf("the line of the %s on the console does not hold %s: %q", what, holds, near)
	}
	return retry.Mark(err, retry.Transient)
}

func (r *vmRun) console(ctx context.Context) ([]string, error) {
	var out struct{ Output string }
	body := map[string]any{"os-getConsoleOutput": map[string]any{}}
	err := r.client.Call(ctx, "compute", http.MethodPost, "servers/"+r.d.Server+"/action", body, &out, "read the console")
	return strings.Split(strings.ReplaceAll(strings.TrimSpace(out.Output), "\r", ""), "\n"), err
}

// explain adds what helps to understand a failure.
func (r *vmRun) explain(ctx context.Context) {
	const tail = 30
	if r.d.Server == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := r.look(ctx); err != nil {
		return // the failure itself says more
	}
	if lines, err := r.console(ctx); err == nil {
		r.d.Console = lines[max(0, len(lines)-tail):]
	}
}

func (r *vmRun) ping(ctx context.Context) error {
	return r.reach(ctx, func(ctx context.Context) error {
		_, err := r.v.Ping(ctx, r.d.Floating)
		return err
	})
}

func (r *vmRun) tcp(ctx context.Context) error {
	return r.reach(ctx, func(ctx context.Context) error {
		conn, err := r.v.Dial(ctx, "tcp", r.target())
		if err == nil {
			_ = conn.Close() // nothing was written
		}
		return err
	})
}

func (r *vmRun) target() string { return net.JoinHostPort(r.d.Floating, strconv.Itoa(r.c.Port)) }

func (r *vmRun) http(ctx context.Context) error {
	t := &http.Transport{DialContext: r.v.Dial, DisableKeepAlives: true}
	defer t.CloseIdleConnections()
	return r.reach(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.target()+r.c.HTTP, nil)
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Transport: t}).Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), r.c.Contains) {
			return fmt.Errorf("the server answers with status %d and %d bytes, expected 200 and %q in them", resp.StatusCode, len(body), r.c.Contains)
		}
		return nil
	})
}

// reach tries until the floating IP answers.
func (r *vmRun) reach(ctx context.Context, try func(context.Context) error) error {
	err := until(ctx, time.Duration(r.c.ReachWithin), func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		err := try(ctx)
		if errors.Is(err, verify.ErrVantage) {
			return retry.Mark(err, retry.Permanent)
		}
		return retry.Mark(err, retry.Transient)
	})
	if err != nil {
		return fmt.Errorf("%s does not answer from %s: %w", r.d.Floating, r.v.Name(), err)
	}
	return nil
}

// until tries until it succeeds, or fails for good, or the time is over: then the
// error is that of the last try that was not cut short by that.
func until(ctx context.Context, within time.Duration, try func(context.Context) error) error {
	start := time.Now()
	var last error
	err := retry.Policy{First: pollEvery, Most: pollEvery, Deadline: within}.Do(ctx, nil, func(ctx context.Context) error {
		err := try(ctx)
		if err != nil && ctx.Err() != nil && last != nil {
			return last
		}
		last = err
		return err
	})
	if err != nil && ctx.Err() == nil && retry.ClassOf(err) != retry.Permanent {
		return fmt.Errorf("not within %s: %w", time.Since(start).Round(time.Second), err)
	}
	return err
}
