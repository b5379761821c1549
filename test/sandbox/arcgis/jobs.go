package arcgis

import (
	"strings"
)

// job is one run of a geoprocessing task, or of a feature service's asynchronous
// operation.
type job struct {
	id     string
	polled int
	fails  bool
	owner  *Member
}

// newJob remembers a job of whoever asks.
func (c *call) newJob(fails bool) *job {
	j := &job{id: "j" + newID(), fails: fails, owner: c.member}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.jobs[j.id] = j
	return j
}

// poll finds a job of whoever asks, and counts that it was asked for. It is done
// the second time. It answers and returns nil if there is no such job.
func (c *call) poll(id string) (j *job, done bool) {
	c.p.mu.Lock()
	j = c.p.jobs[id]
	if j != nil && j.owner == c.member {
		j.polled++
		done = j.polled > 1
	}
	c.p.mu.Unlock()
	if j == nil || j.owner != c.member {
		c.refuse(refusal{code: 400, message: "Job with id not found"})
		return nil, false
	}
	return j, done
}

// printTask prints a map at once, unlike CountTrees.
const printTask = "Export Web Map Task"

// gpServer answers a geoprocessing service with two tasks: CountTrees by
// submitJob, jobs/ID and jobs/ID/results/total, and printing by execute. A job
// asked to fail (fail=true) does.
func (s *site) gpServer(c *call, v *service, below []string) {
	here := s.base(c) + "/rest/services/" + v.name + "/" + v.kind
	task := here + "/CountTrees"
	below = trim(below)
	switch {
	case len(below) == 0:
		c.lead("CountTrees", v.kind+"/CountTrees", printTask, v.kind+"/Export%20Web%20Map%20Task")
		c.reply(map[string]any{"currentVersion": 11.3, "tasks": []string{"CountTrees", printTask}, "executionType": "esriExecutionTypeAsynchronous"})
	case below[0] == printTask && len(below) == 1:
		c.lead("Execute Task", "Export%20Web%20Map%20Task/execute")
		c.reply(map[string]any{"name": printTask, "executionType": "esriExecutionTypeSynchronous", "parameters": []any{}, "helpUrl": c.p.choose.spell(c.p.base + "/portalhelp/en/print.htm")})
	case below[0] == printTask && len(below) == 2 && below[1] == "execute":
		c.reply(map[string]any{"messages": []any{}, "results": []map[string]any{{"paramName": "Output_File", "dataType": "GPDataFile",
			"value": map[string]any{"url": c.p.choose.spell(s.base(c) + "/rest/directories/arcgisoutput/map1.png")}}}})
	case below[0] != "CountTrees":
		c.missing()
	case len(below) == 1:
		c.lead("Submit Job", "CountTrees/submitJob")
		c.reply(map[string]any{"name": "CountTrees", "executionType": "esriExecutionTypeAsynchronous", "parameters": []any{}, "helpUrl": task + "/help"})
	case len(below) == 2 && below[1] == "submitJob":
		j := c.newJob(c.truth("fail", false))
		c.reply(map[string]any{"jobId": j.id, "jobStatus": "esriJobSubmitted", "statusUrl": task + "/jobs/" + j.id})
	case len(below) >= 3 && below[1] == "jobs":
		s.job(c, task, below[2], strings.Join(below[3:], "/"))
	default:
		c.missing()
	}
}

// job answers the state of a job, which is done the second time it is asked for.
func (s *site) job(c *call, task, id, below string) {
	j, done := c.poll(id)
	switch {
	case j == nil:
	case below == "" && !done:
		c.lead("Status", id)
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

// extract answers createReplica and the jobs of a feature service: a copy that is
// made while the client polls statusUrl, and fetched from resultUrl.
func (s *site) extract(c *call, here string, below []string) {
	switch {
	case len(below) == 1 && c.truth("async", true):
		c.reply(map[string]any{"statusUrl": here + "/jobs/" + c.newJob(false).id})
	case len(below) == 1:
		c.reply(map[string]any{"responseType": "esriReplicaResponseTypeInfo", "transportType": "esriTransportTypeUrl", "URL": s.base(c) + "/rest/directories/arcgisoutput/map1.png"})
	default:
		j, done := c.poll(below[1])
		switch {
		case j == nil:
		case !done:
			c.reply(map[string]any{"status": "InProgress", "submissionTime": createdAt, "lastUpdatedTime": createdAt})
		default:
			c.reply(map[string]any{"status": "Completed", "submissionTime": createdAt, "lastUpdatedTime": createdAt,
				"resultUrl": s.base(c) + "/rest/directories/arcgisoutput/map1.png"})
		}
	}
}
