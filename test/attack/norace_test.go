//go:build !race

package attack

// underRace says that the race detector is on; the program is then built with
// it, too.
const underRace = false
