package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// DNS proves that a name server answers as expected.
type DNS struct {
	Server  string   `json:"server" required:"true" doc:"Host, group, role, VIP or address of the name server. Of a group or role, every host."`
	Network string   `json:"network,omitempty" doc:"Network on which the server's addresses are taken; by default the first of each host."`
	Port    int      `json:"port,omitempty" default:"53" doc:"UDP and TCP port of the server."`
	Name    string   `json:"name" required:"true" doc:"Name to ask for. For type PTR an address may be given."`
	Type    string   `json:"type,omitempty" default:"A" enum:"A,AAAA,CNAME,MX,NS,PTR,SOA,SRV,TXT" doc:"Type of the records."`
	Expect  []string `json:"expect,omitempty" doc:"Records that the answer is to hold, as in a zone file without name and type. Empty: any record will do."`
	Exact   bool     `json:"exact,omitempty" default:"false" doc:"Whether the answer may hold nothing but the expected records."`
	RCode   string   `json:"rcode,omitempty" default:"NOERROR" enum:"NOERROR,NXDOMAIN,REFUSED,SERVFAIL" doc:"Response code that is expected."`
	Within  Duration `json:"within,omitempty" default:"0s" doc:"How long the check may take to come true; it is tried again until then."`

	servers []Endpoint
}

func dnsKind() Kind {
	return Kind{
		Name:    "dns",
		Doc:     "Asks a name server over UDP, and over TCP where the answer is truncated, and compares the records.",
		Example: "server: edge\nname: web1.cloud.internal\nexpect: [10.88.0.11]\n",
		New:     func() Check { return &DNS{Port: 53, Type: "A", RCode: "NOERROR"} },
	}
}

// Kind returns "dns".
func (*DNS) Kind() string { return "dns" }

// Patience returns Within.
func (c *DNS) Patience() time.Duration { return time.Duration(c.Within) }

// dnsTypes and rcodes are the names of RFC 1035 and its successors.
var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME,
	"MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS, "PTR": dnsmessage.TypePTR,
	"SOA": dnsmessage.TypeSOA, "SRV": dnsmessage.TypeSRV, "TXT": dnsmessage.TypeTXT,
}

var rcodes = map[dnsmessage.RCode]string{
	dnsmessage.RCodeSuccess: "NOERROR", dnsmessage.RCodeFormatError: "FORMERR",
	dnsmessage.RCodeServerFailure: "SERVFAIL", dnsmessage.RCodeNameError: "NXDOMAIN",
	dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED",
}

// Validate checks the declaration.
func (c *DNS) Validate() error {
	errs := []error{validTarget("server", c.Server), validPort("port", c.Port)}
	if _, ok := dnsTypes[c.Type]; !ok {
		errs = append(errs, resource.Fieldf("type", "use A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT", "%q is not a record type that can be asked for", c.Type))
	}
	if !slices.Contains([]string{"NOERROR", "NXDOMAIN", "REFUSED", "SERVFAIL"}, c.RCode) {
		errs = append(errs, resource.Fieldf("rcode", "use NOERROR, NXDOMAIN, REFUSED or SERVFAIL", "%q is not a response code", c.RCode))
	}
	if c.RCode != "NOERROR" && len(c.Expect) > 0 {
		errs = append(errs, resource.Fieldf("expect", "leave one of them out", "an answer with %s holds no records", c.RCode))
	}
	if c.Name == "" {
		errs = append(errs, resource.Fieldf("name", "say what to ask for", "is required"))
	} else if _, err := c.question(); err != nil {
		errs = append(errs, resource.Fieldf("name", "use a DNS name such as web1.example.org", "%v", err))
	}
	return errors.Join(errs...)
}

// Resolve finds the addresses of the server.
func (c *DNS) Resolve(lookup Lookup) (err error) {
	c.servers, err = resolve("server", c.Server, c.Network, lookup)
	return err
}

// DNSDetail is what one server answered.
type DNSDetail struct {
	Endpoint
	RCode   string        `json:"rcode,omitempty"`
	Answers []string      `json:"answers,omitempty"` // records of the type asked for, sorted
	Time    time.Duration `json:"time_ns,omitempty"`
	Error   string        `json:"error,omitempty"`
}

// DNSDetails is what a dns check found.
type DNSDetails []DNSDetail

// Summary says what the first server answered.
func (ds DNSDetails) Summary() string {
	if len(ds) == 0 {
		return ""
	}
	if len(ds[0].Answers) == 0 {
		return "answer: " + ds[0].RCode
	}
	return "answer: " + strings.Join(ds[0].Answers, ", ")
}

// Run asks every server once.
func (c *DNS) Run(ctx context.Context, v Vantage) (any, error) {
	found, err := each(ctx, c.servers, func(ctx context.Context, t Endpoint) (DNSDetail, error) {
		d := DNSDetail{Endpoint: t}
		start := time.Now()
		m, err := c.ask(ctx, v, hostPort(t.Addr, c.Port))
		if err != nil {
			d.Error = plain(err)
			return d, asFailure(err, "name server %s does not answer", t)
		}
		d.Time, d.RCode, d.Answers = time.Since(start), rcodeName(m.RCode), records(m, dnsTypes[c.Type])
		return d, c.judge(d)
	})
	return DNSDetails(found), err
}

func (c *DNS) judge(d DNSDetail) error {
	what := fmt.Sprintf("name server %s, asked for %s %s, answers", d.Endpoint, c.Name, c.Type)
	switch {
	case d.RCode != c.RCode:
		return failf("%s %s, expected %s", what, d.RCode, c.RCode)
	case c.RCode == "NOERROR" && len(d.Answers) == 0:
		return failf("%s without a record", what)
	}
	want := make(map[string]bool, len(c.Expect))
	for _, e := range c.Expect {
		if c.Type == "TXT" {
			e = strings.Trim(e, `"`)
		} else {
			e = canonicalRecord(e)
		}
		want[e] = true
		if !slices.Contains(d.Answers, e) {
			return failf("%s %s, expected %s", what, strings.Join(d.Answers, ", "), strings.Join(c.Expect, ", "))
		}
	}
	for _, a := range d.Answers {
		if c.Exact && !want[a] {
			return failf("%s %s, which is not expected", what, a)
		}
	}
	return nil
}

func rcodeName(r dnsmessage.RCode) string {
	if name, ok := rcodes[r]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", r)
}

// question builds the question. Names are taken as absolute.
func (c *DNS) question() (dnsmessage.Question, error) {
	name := c.Name
	if ip, err := netip.ParseAddr(name); err == nil && c.Type == "PTR" {
		name = reverseName(ip)
	}
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if (label == "" && name != ".") || len(label) > 63 || strings.ContainsAny(label, " \t\n") {
			return dnsmessage.Question{}, fmt.Errorf("%q is not a DNS name", c.Name)
		}
	}
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return dnsmessage.Question{}, fmt.Errorf("%q is not a DNS name: it is too long", c.Name)
	}
	return dnsmessage.Question{Name: n, Type: dnsTypes[c.Type], Class: dnsmessage.ClassINET}, nil
}

// reverseName returns the name under which the address stands in in-addr.arpa
// or ip6.arpa.
func reverseName(ip netip.Addr) string {
	var labels []string
	if ip = ip.Unmap(); ip.Is4() {
		for _, b := range ip.AsSlice() {
			labels = append(labels, fmt.Sprint(b))
		}
		slices.Reverse(labels)
		return strings.Join(labels, ".") + ".in-addr.arpa."
	}
	for _, b := range ip.AsSlice() {
		labels = append(labels, fmt.Sprintf("%x", b>>4), fmt.Sprintf("%x", b&15))
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".") + ".ip6.arpa."
}

// ask sends the question over UDP, and again over TCP if the answer did not fit.
func (c *DNS) ask(ctx context.Context, v Vantage, addr string) (*dnsmessage.Message, error) {
	q, err := c.question()
	if err != nil {
		return nil, err
	}
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{q},
	}
	packet, err := query.Pack()
	if err != nil {
		return nil, err
	}
	reply, err := v.Exchange(ctx, addr, packet)
	if err != nil {
		return nil, err
	}
	m, err := parseReply(reply, query)
	if err != nil || !m.Truncated {
		return m, err
	}
	if reply, err = exchangeTCP(ctx, v, addr, packet); err != nil {
		return nil, err
	}
	return parseReply(reply, query)
}

// exchangeTCP sends the query with its length in front (RFC 1035, 4.2.2).
func exchangeTCP(ctx context.Context, v Vantage, addr string, packet []byte) ([]byte, error) {
	conn, err := v.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := closeOnDone(ctx, conn)
	defer stop()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
		return nil, ctxError(ctx, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, ctxError(ctx, err)
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err = io.ReadFull(conn, reply)
	return reply, ctxError(ctx, err)
}

func parseReply(packet []byte, query dnsmessage.Message) (*dnsmessage.Message, error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, fmt.Errorf("its answer is not a DNS message: %w", err)
	}
	if !m.Response || m.ID != query.ID || len(m.Questions) != 1 ||
		!strings.EqualFold(m.Questions[0].Name.String(), query.Questions[0].Name.String()) {
		return nil, errors.New("its answer belongs to another question")
	}
	return &m, nil
}
