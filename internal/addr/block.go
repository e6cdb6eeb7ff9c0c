package addr

import (
	"math/bits"
	"net/netip"
)

// lead is how far the first group's hosts are from the start of a network of
// 256 addresses or more, to leave room for what people put there by hand.
const lead = 10

// Block is the part of an IPv4 network from which one group of hosts takes
// addresses. It runs from its start upwards, past the end of the network back
// to its beginning, until the start of the next block.
type Block struct {
	net    netip.Prefix
	start  uint64 // offset of the address before the first
	length uint64 // how many addresses belong to the block
	next   uint64
}

// Start returns the offset after which the block of the group with that index
// (from 0) starts, in a network of size addresses. The starts are the van der
// Corput sequence 0, 1/2, 1/4, 3/4, 1/8, 5/8, …: they depend on neither the
// number of groups nor the number of hosts, and share the network evenly
// however many groups there are. The first is moved up a little.
func Start(size uint64, index int) uint64 {
	if index == 0 {
		return min(lead, size/16)
	}
	return uint64(bits.Reverse32(uint32(index))) * size >> 32
}

// NewBlock returns the block of the group with that index in net, where users
// lists the indices of all groups that take addresses in it.
func NewBlock(net netip.Prefix, index int, users []int) *Block {
	size := Size(net)
	b := &Block{net: net, start: Start(size, index), length: size}
	for _, u := range users {
		gap := (Start(size, u) + size - b.start) % size
		if gap > 0 || u < index { // of two groups with one start, it is the first one's
			b.length = min(b.length, gap)
		}
	}
	return b
}

// Next returns the next address that is not taken by something else. It is not
// valid when the block is exhausted.
func (b *Block) Next(taken func(netip.Addr) bool) netip.Addr {
	size := Size(b.net)
	for b.next < b.length {
		b.next++
		a := Nth(b.net, (b.start+b.next)%size)
		if !IsEdge(b.net, a) && !taken(a) {
			return a
		}
	}
	return netip.Addr{}
}
