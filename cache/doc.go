// Package cache keeps one grant per identity, so that however many callers ask,
// each identity is signed in once.
//
// [Cache.Token] answers from memory while a token is fresh. A token's life has
// three parts:
//
//	obtained ──────── fresh ────────┬──── advisory ────┬ mandatory ┬ expired
//	                               4/5               last seconds
//
//	fresh      the token is given at once
//	advisory   the token is given at once, and one renewal by refresh token is
//	           begun behind it; never a sign-in, and so never a push
//	mandatory  callers wait for the next token, as they do where there is none
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
package cache
