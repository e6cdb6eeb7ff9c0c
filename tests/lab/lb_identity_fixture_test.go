package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/release"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
)

// identity is a Keystone out of the image that clouds run, in the network of a
// load-balancing service.
type identity struct {
	t   *testing.T
	b   *lbService
	box *box
	url string
	// admin is a token of the administrator; ids are of what is there, by kind and name.
	admin string
	ids   map[string]string
}

const (
	identityURL      = "http://127.0.0.1:5000"
	identityPassword = "secret" // of everybody
)

// identityConfig has nothing that takes time: a database in a file, hashes that
// are quick to make, nothing remembered between requests.
const identityConfig = `[database]
connection = sqlite:////var/lib/updraft/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = /var/lib/updraft/keys
[fernet_receipts]
key_repository = /var/lib/updraft/keys
[identity]
password_hash_rounds = 4
[cache]
enabled = false
`

// identityKeys makes keys as "keystone-manage fernet_setup" does, which would take
// seconds to start, and a database in which reading does not keep from writing, as
// Keystone does both at a time.
const identityKeys = `mkdir -m 750 /var/lib/updraft/keys
for n in 0 1; do head -c 32 /dev/urandom | base64 | tr +/ -_ >/var/lib/updraft/keys/$n; done
python3 -c 'import sqlite3; sqlite3.connect("/var/lib/updraft/keystone.db").execute("PRAGMA journal_mode=WAL")'
chown -R keystone:keystone /var/lib/updraft`

// newIdentity starts a Keystone that was bootstrapped as operators do it, with the
// roles that it has by then.
func newIdentity(b *lbService) *identity {
	b.t.Helper()
	k := &identity{t: b.t, b: b, box: newBox(b.t, "openstack"), url: identityURL, ids: map[string]string{}}
	k.box.network = false
	if out, err := k.box.run("-euc", "mount -t tmpfs tmpfs $BOX/var"); err != nil { // of a database that is never needed again
		b.t.Fatalf("%v: %s", err, out)
	}
	r, err := release.Load(release.Default)
	if err != nil {
		b.t.Fatal(err)
	}
	k.box.write(stack.ConfigRoot+"/lb/keystone.conf", identityConfig)
	k.box.write(stack.ConfigRoot+"/lb/uwsgi.ini", stack.UWSGI{Name: "keystone", App: r.Path("keystone-wsgi"), Listen: strings.TrimPrefix(identityURL, "http://")}.String())
	k.box.write(stack.ConfigRoot+"/lb/keys.sh", identityKeys)
	k.manage("root", "sh -eu /etc/updraft/lb/keys.sh")
	k.manage("keystone", "keystone-manage db_sync")
	k.manage("keystone", "keystone-manage bootstrap --bootstrap-password "+identityPassword+" --bootstrap-region-id here --bootstrap-public-url "+identityURL+"/v3")
	k.serve()
	return k
}

// inImage is a command of a user in the image, with Keystone's configuration.
func (k *identity) inImage(ctx context.Context, user, text string) *exec.Cmd {
	return k.box.command(ctx, "-euc", "exec podman run --user="+user+" --volume=/etc/updraft/lb/keystone.conf:/etc/keystone/keystone.conf box/openstack:x "+text)
}

func (k *identity) manage(user, text string) string {
	k.t.Helper()
	var said bytes.Buffer
	c := k.inImage(k.t.Context(), user, text)
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		k.t.Fatalf("%s: %v: %s", text, err, lastLines(said.String()))
	}
	return string(out)
}

func (k *identity) serve() {
	k.t.Helper()
	log, err := os.Create(filepath.Join(k.box.dir, "keystone.log"))
	if err != nil {
		k.t.Fatal(err)
	}
	c := k.inImage(context.Background(), "keystone", strings.Join(stack.Serve("/etc/updraft/lb/uwsgi.ini"), " "))
	c.Stdout, c.Stderr = log, log
	if err := k.b.ns.Do(c.Start); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // its group: it has workers
		_ = c.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && k.t.Failed() {
			k.t.Logf("Keystone: %s", lastLines(string(text)))
		}
	})
	k.b.until(time.Minute, "Keystone answers", func() bool {
		resp, err := k.b.http.Get(identityURL + "/v3")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	k.admin = k.login("admin", "admin")
}

// ask makes a request of Keystone.
func (k *identity) ask(method, path, token string, body any, headers ...string) (http.Header, item) {
	k.t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			k.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(k.t.Context()), method, k.url+"/v3/"+path, bytes.NewReader(data))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Auth-Token", token)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := k.b.http.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out item
	_ = json.NewDecoder(resp.Body).Decode(&out) // not every answer has a body
	if resp.StatusCode >= 300 {
		k.t.Fatalf("Keystone: %s %s: %d %v", method, path, resp.StatusCode, out)
	}
	return resp.Header, out
}

// make makes an object as the administrator, and returns its id.
func (k *identity) make(path, kind string, o item) string {
	k.t.Helper()
	_, out := k.ask(http.MethodPost, path, k.admin, item{kind: o})
	made, _ := out[kind].(item)
	id, _ := made["id"].(string)
	if id == "" {
		k.t.Fatalf("Keystone made no %s: %v", kind, out)
	}
	if name, ok := o["name"].(string); ok {
		k.ids[kind+" "+name] = id
	}
	return id
}

// user makes a user with roles in a project.
func (k *identity) user(name, project string, roles ...string) {
	k.t.Helper()
	if k.ids["user "+name] == "" {
		k.make("users", "user", item{"name": name, "password": identityPassword, "domain_id": "default"})
	}
	for _, r := range roles {
		k.ask(http.MethodPut, k.grant(name, project, r), k.admin, nil)
	}
}

func (k *identity) grant(user, project, role string) string {
	return fmt.Sprintf("projects/%s/users/%s/roles/%s", k.ids["project "+project], k.ids["user "+user], k.ids["role "+role])
}

// learn finds the ids of what the bootstrap made.
func (k *identity) learn(kind string) {
	k.t.Helper()
	_, out := k.ask(http.MethodGet, kind+"s", k.admin, nil)
	for _, o := range out[kind+"s"].([]any) {
		k.ids[kind+" "+o.(item)["name"].(string)] = o.(item)["id"].(string)
	}
}

// login returns a token by a password; without a project, of none.
func (k *identity) login(user, project string) string {
	k.t.Helper()
	domain := item{"id": "default"}
	auth := item{"identity": item{"methods": []string{"password"}, "password": item{"user": item{"name": user, "password": identityPassword, "domain": domain}}}}
	if project != "" {
		auth["scope"] = item{"project": item{"name": project, "domain": domain}}
	}
	return k.token(auth)
}

func (k *identity) token(auth item) string {
	k.t.Helper()
	header, _ := k.ask(http.MethodPost, "auth/tokens", "", item{"auth": auth})
	return header.Get("X-Subject-Token")
}

// revoke ends a token.
func (k *identity) revoke(token string) {
	k.t.Helper()
	k.ask(http.MethodDelete, "auth/tokens", k.admin, nil, "X-Subject-Token", token)
}

// mint makes a token as Keystone does, with an end that comes soon.
const mint = `
import base64, datetime, sys, uuid
import keystone.conf
from keystone.token import token_formatters as f

keystone.conf.configure()
keystone.conf.CONF([], project="keystone", default_config_files=["/etc/keystone/keystone.conf"])
user, project, seconds = sys.argv[1:]
audit = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:-2].decode()
end = datetime.datetime.utcnow() + datetime.timedelta(seconds=int(seconds))
print(f.TokenFormatter().create_token(user, end.isoformat(timespec="microseconds") + "Z", [audit], f.ProjectScopedPayload,
                                      methods=["password"], project_id=project))
`

// shortLived returns a token that ends within seconds: Keystone gives all of them
// the same length of life, so its own code makes this one.
func (k *identity) shortLived(user, project string, seconds int) string {
	k.t.Helper()
	k.box.write(stack.ConfigRoot+"/lb/mint.py", mint)
	return strings.TrimSpace(k.manage("keystone", fmt.Sprintf("python3 /etc/updraft/lb/mint.py %s %s %d", k.ids["user "+user], k.ids["project "+project], seconds)))
}
