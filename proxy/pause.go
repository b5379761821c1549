package proxy

import (
	"context"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// unknownDelay is how long an answer to an unknown caller takes. It is the
	// same for every reason, and it makes guessing slow for who guesses in sequence.
	unknownDelay = 200 * time.Millisecond
	// longestDelay is what that grows to for an address that goes on with wrong
	// credentials. It doubles with every freeGuesses of them.
	longestDelay = 6400 * time.Millisecond
	freeGuesses  = 4
	// A guess is forgotten after a while, the longest delay in half an hour.
	guessMemory = time.Minute
	// knownGuessers is how many addresses are remembered.
	knownGuessers = 4096
	// maxPausing is how many requests may be held back at a time. Beyond that
	// they are answered at once: memory is worth more than a delay that, with
	// keys of 128 bits, only keeps the log short.
	maxPausing = 1024
)

// guesses remembers which addresses came with wrong credentials.
type guesses struct {
	mu      sync.Mutex // guards what follows
	known   *lru.LRU[netip.Addr, guesser]
	pausing int
}

type guesser struct {
	wrong int // at the time of last
	last  time.Time
}

func newGuesses() *guesses {
	known, _ := lru.NewLRU[netip.Addr, guesser](knownGuessers, nil) // fails for sizes below one only
	return &guesses{known: known}
}

// delay returns how long an answer to addr is held back. A guess counts; a
// request without a credential, with which many clients begin, does not.
func (g *guesses) delay(addr netip.Addr, guess bool, now time.Time) time.Duration {
	if addr.Is6() { // who has one address of a network has them all
		prefix, _ := addr.Prefix(64) // an IPv6 address has 64 bits
		addr = prefix.Addr()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	who, _ := g.known.Get(addr)
	who.wrong = max(0, who.wrong-int(now.Sub(who.last)/guessMemory))
	delay := unknownDelay
	for range who.wrong / freeGuesses {
		delay = min(2*delay, longestDelay)
	}
	if guess {
		who.wrong = min(who.wrong+1, 30)
		who.last = now
		g.known.Add(addr, who)
	}
	return delay
}

// enter counts a request that is to be held back, unless there are too many.
func (g *guesses) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pausing >= maxPausing {
		return false
	}
	g.pausing++
	return true
}

func (g *guesses) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pausing--
}

// pause holds back the answer to a request of an unknown caller at addr.
func (g *guesses) pause(ctx context.Context, addr netip.Addr, guess bool) {
	delay := g.delay(addr, guess, time.Now())
	if !g.enter() {
		return
	}
	defer g.leave()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
