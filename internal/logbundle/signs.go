package logbundle

import "strings"

// Sign is a line in a journal that tells of a cause.
type Sign struct {
	Host string `json:"host"`
	// What it means, and how to mend it.
	What string `json:"what"`
	Mend string `json:"mend"`
	// Times is how often it was said, Last the last time.
	Times int    `json:"times"`
	Last  string `json:"last"`
}

// meaning is what a text in a journal means.
type meaning struct{ text, what, mend string }

// meanings are causes that journals name in so many words, the gravest first.
//
// Source: the kernel's mm/oom_kill.c and block/blk-core.c; errno(3); OpenSSL's X509_verify_cert_error_string(3);
// Galera's "non-primary" states.
func meanings() []meaning {
	return []meaning{
		{"Out of memory: Killed process", "ran out of memory, and the kernel ended a process", "give it more memory, or run fewer servers there"},
		{"Memory cgroup out of memory", "ran out of the memory that it may use, and the kernel ended a process", "give it more memory, or run fewer servers there"},
		{"No space left on device", "has a full disk", "make room, then updraft up"},
		{"certificate has expired", "met a certificate that has ended", "updraft up replaces it; see also that clocks agree"},
		{"certificate is not yet valid", "met a certificate of the future", "see that clocks agree: chronyc tracking"},
		{"Too many open files", "ran out of files that a process may open", "find whose they are: the line says it"},
		{"kernel: I/O error, dev ", "has a disk that fails", "look at the kernel's messages in the journal, and replace the disk"},
		{"WSREP: no nodes coming from prim view", "has a database that finds no majority of the others", "updraft up starts the others, from the most advanced"},
	}
}

// signs are those that were found, by host and meaning.
type signs map[string]map[int]*Sign

// sign takes note of a line of a host's journal.
func (s *spool) sign(host, line string) {
	for i, m := range meanings() {
		if !strings.Contains(line, m.text) {
			continue
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.signs == nil {
			s.signs = signs{}
		}
		if s.signs[host] == nil {
			s.signs[host] = map[int]*Sign{}
		}
		found := s.signs[host][i]
		if found == nil {
			found = &Sign{Host: host, What: m.what, Mend: m.mend}
			s.signs[host][i] = found
		}
		found.Times++
		found.Last = s.red.Redact(strings.TrimSpace(line))
		return
	}
}

// found lists the signs, the gravest first, in the order of hosts.
func (s *spool) found(hosts []Host) []Sign {
	var out []Sign
	for i := range meanings() {
		for _, h := range hosts {
			if f := s.signs[h.Name][i]; f != nil {
				out = append(out, *f)
			}
		}
	}
	return out
}
