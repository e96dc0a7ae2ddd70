-- Indexes for the questions of operators, which must not read years of rows.

-- How a server stands. The second one spares walking back through the failures of a server that has been in trouble for long.
CREATE INDEX run_servers_of_server ON run_servers (server, ended_at);
CREATE INDEX run_servers_good ON run_servers (server, ended_at) WHERE result = 0;

-- The latest runs, and what any question about a time begins with.
CREATE INDEX runs_by_start ON runs (started_at, id);
