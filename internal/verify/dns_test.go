package verify

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers on one port of loopback, over UDP and TCP, from a table of
// records. Over UDP it truncates the answer for big.example.org.
type nameServer struct {
	records map[string][]dnsmessage.ResourceBody
	port    string
}

func startNameServer(t *testing.T, records map[string][]dnsmessage.ResourceBody) *nameServer {
	t.Helper()
	s := &nameServer{records: records}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); udp.Close() })
	_, s.port = splitAddr(t, l.Addr())
	go s.serveUDP(udp)
	go s.serveTCP(l)
	return s
}

func (s *nameServer) serveUDP(conn net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		conn.WriteTo(s.answer(buf[:n], true), from)
	}
}

func (s *nameServer) serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		io.ReadFull(conn, size[:])
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		io.ReadFull(conn, query)
		reply := s.answer(query, false)
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
		conn.Close()
	}
}

func (s *nameServer) answer(query []byte, udp bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return []byte("garbage")
	}
	q := m.Questions[0]
	m.Response = true
	name := q.Name.String()
	bodies, ok := s.records[name]
	switch {
	case name == "liar.example.org.":
		m.ID++
	case !ok:
		m.RCode = dnsmessage.RCodeNameError
	case udp && strings.HasPrefix(name, "big."):
		m.Truncated = true
	default:
		for _, b := range bodies {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: b})
		}
	}
	out, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return out
}

func TestDNS(t *testing.T) {
	name := dnsmessage.MustNewName
	a := func(b byte) dnsmessage.ResourceBody { return &dnsmessage.AResource{A: [4]byte{10, 0, 0, b}} }
	s := startNameServer(t, map[string][]dnsmessage.ResourceBody{
		"web.example.org.":                      {a(2), a(1)},
		"www.example.org.":                      {&dnsmessage.CNAMEResource{CNAME: name("Web.example.org.")}, a(1)},
		"six.example.org.":                      {&dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}}},
		"empty.example.org.":                    {},
		"big.example.org.":                      {&dnsmessage.TXTResource{TXT: []string{"Over ", "TCP"}}},
		"mail.example.org.":                     {&dnsmessage.MXResource{Pref: 10, MX: name("mx.example.org.")}},
		"_ldap._tcp.example.org.":               {&dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 389, Target: name("ldap.example.org.")}},
		"1.0.0.10.in-addr.arpa.":                {&dnsmessage.PTRResource{PTR: name("web1.example.org.")}},
		reverseName(netip.MustParseAddr("::1")): {&dnsmessage.PTRResource{PTR: name("localhost.")}},
	})
	tests := []struct {
		name, ask string
		status    Status
		reason    string
	}{
		{"any record will do", `"name":"web.example.org"`, Passed, "answer: 10.0.0.1, 10.0.0.2"},
		{"an expected record passes", `"name":"web.example.org.","expect":["10.0.0.2"]`, Passed, ""},
		{"a missing record fails", `"name":"web.example.org","expect":["10.0.0.3"]`, Failed, "answers 10.0.0.1, 10.0.0.2, expected 10.0.0.3"},
		{"a further record fails when exact", `"name":"web.example.org","expect":["10.0.0.2"],"exact":true`, Failed, "answers 10.0.0.1, which is not expected"},
		{"an alias is followed by the server", `"name":"www.example.org","expect":["10.0.0.1"],"exact":true`, Passed, ""},
		{"names compare without case and last dot", `"name":"www.example.org","type":"CNAME","expect":["web.example.ORG."]`, Passed, ""},
		{"addresses compare as addresses", `"name":"six.example.org","type":"AAAA","expect":["2001:0db8:0::1"]`, Passed, ""},
		{"a truncated answer is asked for over TCP", `"name":"big.example.org","type":"TXT","expect":["Over TCP"]`, Passed, ""},
		{"MX as in a zone file", `"name":"mail.example.org","type":"MX","expect":["10 mx.example.org."]`, Passed, ""},
		{"SRV as in a zone file", `"name":"_ldap._tcp.example.org","type":"SRV","expect":["1 2 389 ldap.example.org"]`, Passed, ""},
		{"PTR takes an address", `"name":"10.0.0.1","type":"PTR","expect":["web1.example.org"]`, Passed, ""},
		{"PTR takes an IPv6 address", `"name":"::1","type":"PTR","expect":["localhost"]`, Passed, ""},
		{"no record fails", `"name":"empty.example.org"`, Failed, "answers without a record"},
		{"an unknown name fails", `"name":"nobody.example.org"`, Failed, "answers NXDOMAIN, expected NOERROR"},
		{"an unknown name passes when expected", `"name":"nobody.example.org","rcode":"NXDOMAIN"`, Passed, "answer: NXDOMAIN"},
		{"an answer to another question fails", `"name":"liar.example.org"`, Failed, "belongs to another question"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := ready(t, "dns", `{"server":"127.0.0.1","port":`+s.port+`,`+tt.ask+`}`)
			wantResult(t, runOnce(t, c), tt.status, tt.reason)
		})
	}
}

func TestDNSWithoutAServerFails(t *testing.T) {
	c := ready(t, "dns", `{"server":"127.0.0.1","port":`+shutPort(t)+`,"name":"a"}`)
	rep := (&Runner{}).Run(t.Context(), "", []Job{{Check: c, Vantage: &Local{}, Timeout: time.Second}})
	wantResult(t, rep.Results[0], Failed, "does not answer")
}

func TestParseReplyRefusesGarbage(t *testing.T) {
	if _, err := parseReply([]byte("x"), dnsmessage.Message{}); err == nil || errors.Is(err, ErrVantage) {
		t.Errorf("err = %v", err)
	}
}
