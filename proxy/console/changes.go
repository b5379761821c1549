package console

import "sync"

// Changes tells any number of listeners that something has changed. The zero value
// is ready.
type Changes struct {
	mu   sync.Mutex // guards next
	next chan struct{}
}

// Next returns a channel that is closed at the next change.
func (c *Changes) Next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// Tell says that something has changed. It does not block.
func (c *Changes) Tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}
