package addr

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// MAC returns a locally administered unicast MAC (IEEE 802, section 8.2) that
// depends on nothing but the names given, such as cloud, host and NIC.
func MAC(names ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	first := sum[0]&^0x01 | 0x02
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", first, sum[1], sum[2], sum[3], sum[4], sum[5])
}
