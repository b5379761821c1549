package main

import (
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellManager tells the service manager, if there is one that wants to know, what state
// the program is in (sd_notify(3)).
func tellManager(log *slog.Logger, state string) {
	if state == daemon.SdNotifyReloading {
		// By the time, it knows which of its requests to reload this is.
		if now := daemon.SdNotifyMonotonicUsec(); now != "" {
			state += "\n" + now
		}
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager cannot be told how the program stands", "state", state, "error", err)
	}
}
