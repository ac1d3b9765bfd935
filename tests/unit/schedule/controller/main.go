// Prints when Kubernetes' CronJob controller fires: the same library, in the same version, asked in the same way.
//
// Reads one JSON object a line, {"expression", "zone", "from", "count"}; writes {"times": [...]} or {"error": "..."}.
// An expression of six fields has its seconds at the end, as everywhere in this project.
//
// The library never comes back from some questions (a day without a midnight, east of Greenwich). Then the answer is
// {"error": "endless"}, and the program ends: whoever asked starts another for the questions that are left.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

type question struct {
	Expression string    `json:"expression"`
	Zone       string    `json:"zone"`
	From       time.Time `json:"from"`
	Count      int       `json:"count"`
}

type answer struct {
	Times []string `json:"times,omitempty"`
	Error string   `json:"error,omitempty"`
}

func parse(expression string, zone string) (cron.Schedule, error) {
	fields := strings.Fields(expression)
	if len(fields) == 6 {
		parser := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
		return parser.Parse(fmt.Sprintf("TZ=%s %s %s", zone, fields[5], strings.Join(fields[:5], " ")))
	}
	return cron.ParseStandard(fmt.Sprintf("TZ=%s %s", zone, expression))
}

func ask(q question) (a answer) {
	schedule, err := parse(q.Expression, q.Zone)
	if err != nil {
		return answer{Error: err.Error()}
	}
	moment := q.From
	for len(a.Times) < q.Count {
		moment = schedule.Next(moment)
		if moment.IsZero() {
			break
		}
		a.Times = append(a.Times, moment.UTC().Format(time.RFC3339))
	}
	return a
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	writer := bufio.NewWriter(os.Stdout)
	defer writer.Flush()
	encoder := json.NewEncoder(writer)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		done := make(chan answer, 1)
		go func() { done <- ask(q) }()
		select {
		case a := <-done:
			if err := encoder.Encode(a); err != nil {
				os.Exit(1)
			}
		case <-time.After(3 * time.Second):
			encoder.Encode(answer{Error: "endless"})
			return
		}
	}
}
