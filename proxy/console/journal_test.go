package console

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &Journal{}
		now := time.Now()
		if n := len(j.Requests()) + len(j.Failures()); n != 0 {
			t.Errorf("an empty journal has %d entries", n)
		}
		for i := range 3 * keptRequests {
			r := Request{Time: now, Caller: "script", Method: "GET", Path: "/portal/" + strings.Repeat("x", i), Status: 200, Took: time.Second}
			if i%3 == 0 {
				r.Status, r.Took = 502, 4*time.Second
			}
			j.Note(r)
		}
		j.Note(Request{Time: now, Method: "BREW", Path: "/last", Status: 401, Reason: "nobody knows you"})
		list := j.Requests()
		if len(list) != keptRequests || list[0].Path != "/last" || list[0].Method != "other" || list[0].Reason == "" || len(list[1].Path) != keptPath || list[1].Caller != "script" {
			t.Errorf("%d requests, the newest %+v", len(list), list[:2])
		}
		if list := j.Failures(); len(list) != keptRequests || list[0].Status != 401 || list[1].Status != 502 || list[keptRequests-1].Status != 502 {
			t.Errorf("%d failures, the newest %+v", len(list), list[:2])
		}

		time.Sleep(time.Minute)
		j.Renewal()
		j.SignIn()
		j.SignIn()
		minutes := j.Minutes(time.Now())
		before, last := minutes[keptMinutes-2], minutes[keptMinutes-1]
		if before.Requests != 3*keptRequests+1 || before.Failures != keptRequests || before.Slowest != 4*time.Second || before.Mean < time.Second || before.Mean > 2*time.Second {
			t.Errorf("a minute ago: %+v", before)
		}
		if last.Renewals != 1 || last.SignIns != 2 || last.Requests != 0 || !last.Time.Equal(time.Now().Truncate(time.Minute)) {
			t.Errorf("this minute: %+v", last)
		}
		time.Sleep(time.Hour)
		for _, m := range j.Minutes(time.Now())[:keptMinutes-1] {
			if m.Requests+m.Renewals+m.SignIns != 0 && m.Time.Before(time.Now().Add(-time.Hour)) {
				t.Errorf("an hour later: %+v", m)
			}
		}
		j.Note(Request{Time: time.Now(), Status: 200})
		if last := j.Minutes(time.Now())[keptMinutes-1]; last.Requests != 1 || last.Renewals != 0 {
			t.Errorf("an hour later this minute has %+v", last)
		}
	})
}
