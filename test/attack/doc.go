// Package attack tries on the built program what attackers have tried on proxies
// of its kind, and tries the same on a naive one.
//
// A proxy that adds a person's token to requests acts as that person for whoever
// reaches it. Each row of the table in this package is a class of attack on that,
// most of them known from advisories about other proxies. A row holds if what is
// sent is refused or made harmless: the token reaches a configured upstream and
// nobody else, what should pass passes unchanged, no caller sees what is
// another's, and no secret is in an answer or in the log.
//
// What is sent is written to a TCP connection byte by byte, or to an HTTP/2
// connection frame by frame, because client libraries tidy such requests away.
// Two things receive it: the program, as it is built and configured, and a
// httputil.ReverseProxy in the way it is usually written, with Rewrite, SetURL
// and Header.Set. Behind both is an upstream that records what reaches it. The
// naive proxy has to fail the rows that it is known to fail, so that a row that
// the program passes is known to bite.
package attack
