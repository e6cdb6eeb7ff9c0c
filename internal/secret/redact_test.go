package secret_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
)

func TestRedactorFindsEveryFormAndNothingElse(t *testing.T) {
	s := newPlace(t).open()
	all(s)
	password, raw := s.Password("mariadb/root"), s.Bytes("erlang-cookie", 20)
	private, public := s.SSHKey("nova/migration")
	cert, key := s.Certificate("haproxy/api", "10.0.0.10", "api.web.internal")
	fernet := s.FernetKeys("keystone/fernet")[1]
	quoted, err := json.Marshal(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ rule, text, want string }{
		{"plain", "connection = mysql+pymysql://root:" + password + "@db/keystone", "mariadb/root"},
		{"base64 of a pair", "Basic " + base64.StdEncoding.EncodeToString([]byte("root:"+password)), "mariadb/root"},
		{"base64 one further", base64.StdEncoding.EncodeToString([]byte("admin:" + password + "\n")), "mariadb/root"},
		{"base64 two further", base64.URLEncoding.EncodeToString([]byte("roots:" + password + "\nmore")), "mariadb/root"},
		{"raw bytes", "\x00\x01" + string(raw) + "\x02", "erlang-cookie"},
		{"raw bytes as base64", base64.RawStdEncoding.EncodeToString(raw), "erlang-cookie"},
		{"raw bytes as hex", strings.ToUpper(hex.EncodeToString(raw)), "erlang-cookie"},
		{"raw bytes in a URL", "?a=" + url.QueryEscape(string(raw)), "erlang-cookie"},
		{"a fernet key", fernet, "keystone/fernet"},
		{"a fernet key in a URL", url.QueryEscape(fernet), "keystone/fernet"},
		{"an SSH key", private, "nova/migration"},
		{"an SSH key in JSON", string(quoted), "nova/migration"},
		{"an SSH key, indented", strings.ReplaceAll(private, "\n", "\n    "), "nova/migration"},
		{"a part of an SSH key", strings.Join(strings.Split(private, "\n")[2:6], "\n"), "nova/migration"},
		{"a private key", key, "haproxy/api"},
		{"a private key without its armour", strings.Join(strings.Split(key, "\n")[1:4], ""), "haproxy/api"},
		{"a private key in another format", oldFormat(t, key), "haproxy/api"},
		{"a private key in a URL", url.QueryEscape(key), "haproxy/api"},
		{"a certificate", cert, ""},
		{"the authority", s.CA().Bundle(), ""},
		{"a public key", public, ""},
		{"text", strings.Repeat("nothing of interest ", 1000), ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			hits := s.Redactor().Find([]byte(c.text))
			if c.want == "" {
				if hits != nil {
					t.Errorf("found %v", hits)
				}
				return
			}
			if len(hits) == 0 {
				t.Fatalf("%s was not found", c.want)
			}
			for _, h := range hits {
				if h.Secret != c.want {
					t.Errorf("found %v", h)
				}
			}
		})
	}
}

// oldFormat is the key as SEC 1 has it.
func oldFormat(t *testing.T, key string) string {
	block, _ := pem.Decode([]byte(key))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(parsed.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func TestRedactPutsANameInPlaceOfAValue(t *testing.T) {
	s := newPlace(t).open()
	s.Password("a")
	r := s.Redactor()
	text := "login " + s.Password("a") + " and " + base64.StdEncoding.EncodeToString([]byte(s.Password("a"))) + "."
	got := r.Redact(text)
	if r.Find([]byte(got)) != nil || !strings.HasPrefix(got, "login [secret a] and [secret a]") {
		t.Errorf("got %q", got)
	}
}
