-- Indexes for the questions of operators, which must not read years of rows.

-- How a server stands. The second one spares walking back through the failures of a server that has been in trouble for long.
CREATE INDEX run_servers_of_server ON run_servers (server, ended_at);
CREATE INDEX run_servers_good ON run_servers (server, ended_at) WHERE result = 0;

-- The latest runs, and what any question about a time begins with.
CREATE INDEX runs_by_start ON runs (started_at, id);

-- Files by name or by hash, whatever their age. Names are base names, hashes begin the whole ones: an index row of theirs is written for each
-- file, and a million is a million times told apart by 48 bits already.
CREATE INDEX entries_by_name ON entries (substr(path, 1 + length(rtrim(path, replace(path, '/', '')))));
CREATE INDEX files_by_hash ON files (substr(sha256, 1, 12));
CREATE INDEX members_by_hash ON members (substr(sha256, 1, 12));
