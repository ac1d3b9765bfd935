-- a comment with ${nothing} and @nothing in it
SELECT kind, SUM(value) AS value FROM ${input.rows} WHERE kind <> @UNWANTED AND kind <> '@not ${this}'
GROUP BY kind ORDER BY kind
