-- One submission, told after its message was sent. A worker may have told more of the run already,
-- so that only what is unknown is written. `celeriac.publishing` calls it.
-- Keys: the run's record, the stream. Arguments: how long a record that is new stays, the most
-- entries, the four fields of the entry, and the record's fields.
local record, stream = KEYS[1], KEYS[2]
local is_new = redis.call('EXISTS', record) == 0
for i = 7, #ARGV, 2 do
  redis.call('HSETNX', record, ARGV[i], ARGV[i + 1])
end
if is_new then
  redis.call('EXPIRE', record, ARGV[1])
end
redis.call('XADD', stream, 'MAXLEN', '~', ARGV[2], '*', 'run', ARGV[3], 'kind', ARGV[4],
  'at', ARGV[5], 'data', ARGV[6])
redis.call('PUBLISH', record, ARGV[4])
