package lab_test

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"net/netip"
	"testing"

	heart "github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// sctp writes a packet with one chunk (RFC 9260 §3).
func sctp(from, to uint16, tag uint32, kind byte, body []byte) []byte {
	p := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
	p = append(binary.BigEndian.AppendUint32(p, tag), 0, 0, 0, 0, kind, 0)
	p = append(binary.BigEndian.AppendUint16(p, uint16(4+len(body))), body...)
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return p
}

func sctpInit(tag uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, tag)
	b = append(binary.BigEndian.AppendUint32(b, 65535), 0, 1, 0, 1)
	return binary.BigEndian.AppendUint32(b, 1)
}

// answerSCTP begins associations at an address as a server does: the kernel of
// the lab knows nothing of SCTP, so both ends are raw sockets. Its own tag says
// which member it is.
func (b *balancing) answerSCTP(at netip.AddrPort, name uint32) func() {
	b.t.Helper()
	conn, err := b.members.ListenPacket(b.t.Context(), "ip4:132", at.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n < 32 || binary.BigEndian.Uint16(buf[2:]) != at.Port() || buf[12] != 1 {
				continue
			}
			back, tag := binary.BigEndian.Uint16(buf), binary.BigEndian.Uint32(buf[16:])
			_, _ = conn.WriteTo(sctp(at.Port(), back, tag, 2, sctpInit(name)), from)
		}
	}()
	b.t.Cleanup(func() { conn.Close() })
	return func() { conn.Close() }
}

// associate begins an association from a port and returns the tag of who answers.
func (b *balancing) associate(to netip.AddrPort, port uint16) uint32 {
	b.t.Helper()
	conn, err := b.client.ListenPacket(b.t.Context(), "ip4:132", "10.77.0.200")
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(soon()); err != nil {
		b.t.Fatal(err)
	}
	if _, err := conn.WriteTo(sctp(port, to.Port(), 0, 1, sctpInit(7)), &net.IPAddr{IP: to.Addr().AsSlice()}); err != nil {
		b.t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return 0
		}
		if n >= 20 && binary.BigEndian.Uint16(buf[2:]) == port && buf[12] == 2 {
			return binary.BigEndian.Uint32(buf[16:])
		}
	}
}

func TestAmphoraForwardsSCTP(t *testing.T) {
	b := newBalancing(t)
	a := b.amphora(1)
	s := a.scene()
	p := s.pool(model.ProtocolSCTP, model.RoundRobin)
	m := s.monitor(p, model.MonitorSCTP)
	m.MaxRetriesDown = 2
	l := s.listener(model.ProtocolSCTP, 3868, p)
	one, two := s.member(p, at(10, 3868)), s.member(p, at(11, 3868))
	stop := b.answerSCTP(at(10, 3868), 10)
	b.answerSCTP(at(11, 3868), 11)
	a.apply(s)
	vip := netip.AddrPortFrom(vip4, 3868)
	got := map[uint32]int{}
	for i := range 4 {
		got[b.associate(vip, uint16(40000+i))]++
	}
	if got[10] != 2 || got[11] != 2 {
		t.Errorf("associations came to %v", got)
	}
	stop()
	a.heard("one is down", func(x *heart.Beat) bool {
		m := x.Pools[p.ID].Members
		return m[one.ID] == heart.Down && m[two.ID] == heart.Up && x.Listeners[l.ID].Total >= 4
	})
	for i := range 2 {
		if who := b.associate(vip, uint16(41000+i)); who != 11 {
			t.Errorf("an association came to %d", who)
		}
	}
}
