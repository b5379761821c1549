package arcgis

import (
	"strings"
)

// job is one run of a geoprocessing task.
type job struct {
	id     string
	polled int
	fails  bool
	owner  *Member
}

// gpServer answers a geoprocessing service with the task CountTrees: submitJob,
// jobs/ID, and jobs/ID/results/total. A job asked to fail (fail=true) does.
func (s *site) gpServer(c *call, v *service, below []string) {
	task := s.base(c) + "/rest/services/" + v.name + "/" + v.kind + "/CountTrees"
	below = trim(below)
	switch {
	case len(below) == 0:
		c.reply(map[string]any{"currentVersion": 11.3, "tasks": []string{"CountTrees"}, "executionType": "esriExecutionTypeAsynchronous"})
	case below[0] != "CountTrees":
		c.missing()
	case len(below) == 1:
		c.reply(map[string]any{"name": "CountTrees", "executionType": "esriExecutionTypeAsynchronous", "parameters": []any{}, "helpUrl": task + "/help"})
	case len(below) == 2 && below[1] == "submitJob":
		s.p.mu.Lock()
		j := &job{id: "j" + newID(), fails: c.truth("fail", false), owner: c.member}
		s.p.jobs[j.id] = j
		s.p.mu.Unlock()
		c.reply(map[string]any{"jobId": j.id, "jobStatus": "esriJobSubmitted", "statusUrl": task + "/jobs/" + j.id})
	case len(below) >= 3 && below[1] == "jobs":
		s.job(c, task, below[2], strings.Join(below[3:], "/"))
	default:
		c.missing()
	}
}

// job answers the state of a job, which is done the second time it is asked for.
func (s *site) job(c *call, task, id, below string) {
	s.p.mu.Lock()
	j := s.p.jobs[id]
	polled := 0
	if j != nil {
		j.polled++
		polled = j.polled
	}
	s.p.mu.Unlock()
	switch {
	case j == nil || j.owner != c.member:
		c.refuse(refusal{code: 400, message: "Job with id not found"})
	case below == "" && polled < 2:
		c.reply(map[string]any{"jobId": id, "jobStatus": "esriJobExecuting", "messages": []any{}})
	case j.fails:
		c.reply(map[string]any{"jobId": id, "status": "failed", "statusMessage": "Task failed.", "jobStatus": "esriJobFailed",
			"messages": []map[string]any{{"type": "esriJobMessageTypeError", "description": "ERROR 000732: Input Features: Dataset does not exist"}}})
	case below == "":
		c.reply(map[string]any{"jobId": id, "jobStatus": "esriJobSucceeded", "messages": []any{},
			"results": map[string]any{"total": map[string]any{"paramUrl": "results/total", "resultUrl": task + "/jobs/" + id + "/results/total"}}})
	case below == "results/total":
		c.reply(map[string]any{"paramName": "total", "dataType": "GPDataFile", "value": map[string]any{"url": s.base(c) + "/rest/directories/arcgisoutput/map1.png"}})
	default:
		c.missing()
	}
}
