package lab_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keeper is Debian's Barbican, which asks a Keystone who somebody is, in the network
// of a load-balancing service.
type keeper struct {
	t   *testing.T
	k   *identity
	dir string
	cmd *exec.Cmd
	log *os.File
}

const (
	keeperAddress = "127.0.0.1:9311"
	keeperURL     = "http://" + keeperAddress
	// systemPython is that for which Debian's packages are.
	systemPython = "/usr/bin/python3"
)

// keeperConfig has the rules of present releases, and Barbican's own cipher, which
// needs no device.
const keeperConfig = `[DEFAULT]
sql_connection = sqlite:///@DIR@/barbican.db
db_auto_create = true
host_href = ` + keeperURL + `
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=
[queue]
enable = false
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
[keystone_authtoken]
www_authenticate_uri = ` + identityURL + `/v3
auth_url = ` + identityURL + `/v3
auth_type = password
interface = public
username = barbican
password = ` + identityPassword + `
project_name = service
user_domain_name = Default
project_domain_name = Default
`

// keeperPaste is Debian's, but for what browsers and proxies need.
const keeperPaste = `[composite:main]
use = egg:Paste#urlmap
/: barbican_version
/v1: barbican-api-keystone
[pipeline:barbican_version]
pipeline = microversion versionapp
[pipeline:barbican-api-keystone]
pipeline = authtoken context microversion apiapp
[app:apiapp]
paste.app_factory = barbican.api.app:create_main_app
[app:versionapp]
paste.app_factory = barbican.api.app:create_version_app
[filter:context]
paste.filter_factory = barbican.api.middleware.context:ContextMiddleware.factory
[filter:microversion]
paste.filter_factory = barbican.api.middleware.microversion:MicroversionMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
`

// keeperServe serves one request at a time, as SQLite likes it.
const keeperServe = `
import os
from paste import deploy
from waitress import serve
serve(deploy.loadapp("config:" + os.path.join(os.environ["HOME"], "paste.ini")), listen="` + keeperAddress + `", threads=1)
`

// newKeeper starts a Barbican with nothing in it, and tells Keystone where it is.
func newKeeper(k *identity) *keeper {
	k.t.Helper()
	s := &keeper{t: k.t, k: k, dir: filepath.Join(k.b.data, "barbican")}
	mk(k.t, s.dir, ".barbican") // where oslo.config looks below HOME
	for name, text := range map[string]string{".barbican/barbican.conf": strings.ReplaceAll(keeperConfig, "@DIR@", s.dir), "paste.ini": keeperPaste, "serve.py": keeperServe} {
		k.b.write("barbican/"+name, text)
	}
	k.user("barbican", "service", "service")
	id := k.make("services", "service", item{"name": "barbican", "type": "key-manager"})
	k.make("endpoints", "endpoint", item{"service_id": id, "interface": "public", "region_id": "here", "url": keeperURL})
	k.t.Cleanup(func() {
		s.stop()
		if k.t.Failed() {
			k.t.Logf("Barbican: %s", lastLines(s.said()))
		}
	})
	s.start()
	return s
}

func (s *keeper) start() {
	s.t.Helper()
	var err error
	if s.log, err = os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(systemPython, filepath.Join(s.dir, "serve.py"))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + s.dir}
	if err := s.k.b.ns.Do(s.cmd.Start); err != nil {
		s.t.Fatal(err)
	}
	s.k.b.until(3*time.Minute, "Barbican answers", func() bool {
		resp, err := s.k.b.http.Get(keeperURL + "/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusMultipleChoices
	})
}

// stop ends it as a power cut does.
func (s *keeper) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
	s.log.Close()
	s.cmd = nil
}

func (s *keeper) said() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

// ask makes a request with a token; a ref is an address already.
func (s *keeper) ask(token, method, address string, body any) (int, item) {
	s.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	if body == nil {
		data = nil
	}
	if !strings.HasPrefix(address, "http") {
		address = keeperURL + "/v1/" + address
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(s.t.Context()), method, address, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Auth-Token", token)
	resp, err := (&http.Client{Timeout: time.Minute, Transport: s.k.b.http.Transport}).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out item
	_ = json.NewDecoder(resp.Body).Decode(&out) // not every answer has a body
	return resp.StatusCode, out
}

func (s *keeper) must(token, method, address string, body any) item {
	s.t.Helper()
	status, out := s.ask(token, method, address, body)
	if status >= 300 {
		s.t.Fatalf("Barbican: %s %s: %d %v", method, address, status, out)
	}
	return out
}

// text keeps PEM as people paste it.
func (s *keeper) text(token, name string, pem []byte) (ref string) {
	s.t.Helper()
	return s.must(token, http.MethodPost, "secrets", item{"name": name, "payload": string(pem), "payload_content_type": "text/plain"})["secret_ref"].(string)
}

// opaque keeps what is no text, as Octavia's cookbook does with PKCS #12.
func (s *keeper) opaque(token, name string, data []byte) (ref string) {
	s.t.Helper()
	return s.must(token, http.MethodPost, "secrets", item{"name": name, "secret_type": "opaque", "payload": base64.StdEncoding.EncodeToString(data),
		"payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"})["secret_ref"].(string)
}

// container keeps a certificate in parts, each of which is a secret.
func (s *keeper) container(token, name string, parts map[string][]byte) (ref string, secrets map[string]string) {
	s.t.Helper()
	secrets = map[string]string{}
	var refs []item
	for part, data := range parts {
		secrets[part] = s.text(token, name+" "+part, data)
		refs = append(refs, item{"name": part, "secret_ref": secrets[part]})
	}
	return s.must(token, http.MethodPost, "containers", item{"type": "certificate", "name": name, "secret_refs": refs})["container_ref"].(string), secrets
}

// readers returns who may read by an ACL, and whether the project may.
func (s *keeper) readers(token, ref string) (users []any, project bool) {
	s.t.Helper()
	read := s.must(token, http.MethodGet, ref+"/acl", nil)["read"].(item)
	users, _ = read["users"].([]any)
	return users, read["project-access"].(bool)
}

// consumers returns who says that it uses a container, as URLs.
func (s *keeper) consumers(token, ref string) (urls []string) {
	s.t.Helper()
	for _, c := range s.must(token, http.MethodGet, ref+"/consumers", nil)["consumers"].([]any) {
		if c := c.(item); c["name"] == "Octavia" {
			urls = append(urls, c["URL"].(string))
		}
	}
	return urls
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
