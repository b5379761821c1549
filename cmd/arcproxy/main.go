// Command arcproxy stands in front of an ArcGIS Enterprise Portal that people
// sign in to through Okta, and signs requests in for callers that cannot.
package main

func main() {}
