package proxy

import (
	"context"
	"time"
)

// unknownDelay is how long an answer to an unknown caller takes. It is the same
// for every reason, and it makes guessing slow for who guesses in sequence.
const unknownDelay = 200 * time.Millisecond

// pause waits for the delay of an unknown caller.
func pause(ctx context.Context) {
	timer := time.NewTimer(unknownDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
