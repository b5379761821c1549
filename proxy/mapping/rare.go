package mapping

import (
	"bytes"
	"strings"
)

// byRarity are the bytes that hosts are made of, the rarest in JSON and prose first.
const byRarity = "qzjxk-.vwybgpfmhucdlnrsioate:%[]0123456789"

// rarest returns the rarest byte that all hosts have at the same distance from their
// ends, and that distance; 0 if they have none in common.
func (s *Scanner) rarest() (c byte, distance int) {
	best := len(byRarity)
	for n := 1; n <= s.least; n++ {
		first := s.hosts[0].text
		c := first[len(first)-n]
		for _, h := range s.hosts {
			if h.text[len(h.text)-n] != c {
				c = 0
			}
		}
		if rank := strings.IndexByte(byRarity, c); rank >= 0 && rank < best {
			best, distance = rank, n
		}
	}
	if distance == 0 {
		return 0, 0
	}
	return byRarity[best], distance
}

const (
	// rareEnough is how far apart the rare bytes of a text have to be, on average, so
	// that looking for them is the faster way; the first few are let pass.
	rareEnough = 40
	letPass    = 50
)

// A finder searches one text for hosts, from its beginning to its end.
//
// It looks for a byte of theirs that is rare, by [bytes.IndexByte], which compares many
// bytes at once, and compares the hosts only where that is found. In a text where it
// turns out not to be rare, the finder goes over to the search of find.
type finder struct {
	scanner *Scanner
	text    []byte
	slow    bool // it has gone over
	met     int  // how many rare bytes there were
	// Where the rare byte comes next, as a small letter and as a large one.
	small, large int
}

func newFinder(s *Scanner, text []byte) finder {
	f := finder{scanner: s, text: text, slow: s.rare == 0, small: -1, large: -1}
	if s.rare < 'a' || 'z' < s.rare {
		f.large = len(text) // there is no such thing
	}
	return f
}

// find does what the function of that name does. It may not be asked to go back.
func (f *finder) find(from, end int) (*host, int) {
	s := f.scanner
	if f.slow {
		return find(s, f.text, from, end)
	}
	for at := max(from+s.least, end+1) - s.distance; ; at++ {
		if f.small < at {
			f.small = indexFrom(f.text, at, s.rare)
		}
		if f.large < at {
			f.large = indexFrom(f.text, at, s.rare&^0x20)
		}
		at = min(f.small, f.large)
		end = at + s.distance
		if end > len(f.text) {
			return nil, 0
		}
		f.met++
		for k := range s.hosts {
			h := &s.hosts[k]
			start := end - len(h.text)
			if start >= from && (string(f.text[start:end]) == h.text || equalFold(f.text[start:end], h.text)) {
				return h, end
			}
		}
		if f.met > letPass+at/rareEnough {
			f.slow = true
			return find(s, f.text, from, end)
		}
	}
}

// indexFrom returns where c comes next, at or after from; len(text) if nowhere.
func indexFrom(text []byte, from int, c byte) int {
	if i := bytes.IndexByte(text[min(from, len(text)):], c); i >= 0 {
		return from + i
	}
	return len(text)
}
