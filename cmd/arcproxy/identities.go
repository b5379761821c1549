package main

import (
	"context"
	"slices"
	"strings"
	"sync"

	"arcproxy/auth"
)

// startIdentities says who can be signed in, when nobody has been yet. Those whom an
// earlier run has signed in, and who were removed since or are another account now, are
// signed out as by a reload.
func (e *engine) startIdentities(ctx context.Context, list []auth.Identity) {
	e.cache.Keep(names(list))
	former, changed := e.former(ctx, list)
	if len(changed) == 0 {
		return
	}
	e.log.Info("identities were removed, or are another account now, while the program did not run; their grants are being revoked", "identities", strings.Join(changed, ", "))
	e.signer.SetIdentities(former)
	e.cache.Keep(names(former))
	e.setIdentities(ctx, list)
}

// former returns list with those in it who hold stored grants of these systems, as the
// accounts that they were, and the names of those who are not that now.
func (e *engine) former(ctx context.Context, list []auth.Identity) (former []auth.Identity, changed []string) {
	former = slices.Clone(list)
	grants := e.state.sealed.Grants()
	stored, err := grants.Identities(ctx)
	if err != nil {
		e.log.Warn("not all stored grants can be read: those of identities that were removed may stay", "error", err)
	}
	for _, name := range stored {
		g, found, err := grants.Load(ctx, name)
		username, ours := e.signer.Username(g)
		if err != nil || !found || !ours {
			continue
		}
		i := slices.IndexFunc(former, func(id auth.Identity) bool { return id.Name == name })
		switch {
		case i < 0:
			former = append(former, auth.Identity{Name: name, Username: username})
		case !strings.EqualFold(former[i].Username, username):
			former[i].Username = username
		default:
			continue
		}
		changed = append(changed, name)
	}
	slices.Sort(changed)
	return former, changed
}

func names(list []auth.Identity) []string {
	names := make([]string, len(list))
	for i, id := range list {
		names[i] = id.Name
	}
	return names
}

// setIdentities says who can be signed in from now on, and returns those who no longer
// can: they are refused at once, and behind that signed out. One that is another account
// now is signed out before it returns, and refused until then.
func (e *engine) setIdentities(ctx context.Context, list []auth.Identity) (removed []string) {
	names := names(list)
	former := e.signer.SetIdentities(list)
	removed = e.cache.Keep(names)
	var wg sync.WaitGroup
	for _, name := range former {
		if slices.Contains(names, name) {
			wg.Go(func() { _ = e.cache.Forget(ctx, name) }) // the log has what fails
		}
	}
	wg.Wait()
	return removed
}
