// Package cache keeps one grant per identity, so that however many callers ask,
// each identity is signed in once.
//
// [Cache.Token] answers from memory while a token is fresh. A token's life has
// three parts:
//
//	obtained ──────── fresh ────────┬──── advisory ────┬ mandatory ┬ expired
//	                         about 4/5                last seconds
//
//	fresh      the token is given at once
//	advisory   the token is given at once, and the next is obtained behind it: by
//	           the refresh token, or where there is none by a sign-in, which ends
//	           before it would send a push and is then left to somebody who waits
//	mandatory  callers wait for the next token, as they do where there is none
//
// What takes long, such as an upload, asks with [Cache.TokenFor] for one that has some of
// its life left.
//
// Nothing runs for an identity that nobody asks for. While the Portal or Okta is
// away, tokens are given as long as they work.
//
// Grants are kept in a [Vault], each before its token is given, and read when they
// are first needed: a restart asks nobody for anything.
//
// What obtains a token is a flight: one goroutine per identity at a time, on a
// context of its own, with a deadline. Callers wait for it and may leave without
// changing anything; only, a flight that nobody waits for any more sends no push,
// since that would make somebody's phone buzz for nothing (auth.Watch.Waited).
//
// Failures are remembered, because repeating some of them does harm: the third
// wrong password locks an account. failures.go has one table of what is
// remembered, for how long, and what clears it. Refused credentials are also
// written to a [Ledger], so that they hold across restarts: a supervisor that
// restarts a crashing program must not try a wrong password once a minute.
//
// What a sign-in asks a person is pending in one place, its flight: [Status] shows
// it, and whoever answers first is taken, be it the person who takes part in the
// sign-in, [Config.Ask], or [Cache.Answer].
//
// A person signs in with [Cache.SignIn] and out with [Cache.Forget]; a reload says
// with [Cache.Keep] who is still configured; [Cache.Status] tells how everyone
// stands, and an [Observer] hears figures.
package cache
