-- One change of a run. `celeriac.changes` calls it, and tells what its verdicts mean.
-- Keys: the run's record, Celery's result, the stream.
local record, result, stream = KEYS[1], KEYS[2], KEYS[3]
-- The arguments in the order in which they come. Behind them stand the event and then the lines,
-- four fields each, and then the record's fields, of which the first `kept` are never overwritten.
local NAMES = {
  'state', 'attempt', 'forbids_start', 'asks', 'is_told', 'keep_s', 'keep_waiting_s', 'most_entries',
  'meta', 'token', 'lines', 'kept', 'most_restarts',
}
local given = {}
for i, name in ipairs(NAMES) do
  given[name] = ARGV[i]
end
local state, attempt, meta, token = given.state, given.attempt, given.meta, given.token
local forbids_start, asks = given.forbids_start == '1', given.asks == '1'
local keep_s, keep_waiting_s = tonumber(given.keep_s), tonumber(given.keep_waiting_s)
local most_restarts = tonumber(given.most_restarts)
local EVENT = #NAMES + 1
local LINES = EVENT + 4
local FIELDS = LINES + 4 * tonumber(given.lines)

local RANK = {PENDING = 0, STARTED = 1, RETRY = 2, REVOKED = 3, FAILURE = 3, DEAD = 3, SUCCESS = 4}

-- A state that a task has invented, such as PROGRESS, is one of execution.
local function rank(name)
  return name and (RANK[name] or 1) or 0
end

-- Values of the record are JSON.
local known = redis.call('HMGET', record, 'state', 'attempt', 'cancelled', 'lines', 'starts',
  'started_at', 'handed_back')
local was, was_attempt, cancelled = known[1] and known[1]:sub(2, -2), known[2], known[3]

-- A worker without our backend tells only what Celery's result says.
local told = redis.call('GETRANGE', result, 0, 30):match('^{"status": "(%u+)"')
if told and (told == 'SUCCESS' or rank(was) == 0) then
  was = told
end

-- A dead letter that is sent again begins another attempt; a submission knows of none.
local replays = state == 'PENDING' and attempt ~= ''
local newest, mine = tonumber(was_attempt) or 0, tonumber(attempt)

-- The message of the next attempt is sent before it is told that this one has failed, and a dead
-- letter before it is told that it was replayed. Who was given up may tell of its failure at last.
local overtaken = mine and (mine < newest
  and (state == 'RETRY' or state == 'FAILURE' or state == 'DEAD' or replays)
  or replays and mine == newest and rank(was) > 0)

-- A message that was delivered again starts the same attempt again; then nothing tells its end.
-- The same start is told again where the answer was lost.
local starts = 1
local starts_again = state == 'STARTED' and rank(was) == 1 and attempt == was_attempt
if starts_again then
  local is_same = known[6] == '"' .. ARGV[EVENT + 2] .. '"'
  starts = (tonumber(known[5]) or 1) + (is_same and 0 or 1)
end

-- Who cancels ends what waits, and only asks what executes to end.
local function of_cancel()
  if rank(was) == 3 then
    return 'finished'
  end
  return rank(was) == 1 and 'started' or 'written'
end

-- A cancelled run ends as such, unless it succeeds or has not heard of it yet.
local function of_cancelled()
  if was == 'REVOKED' then
    return state == 'REVOKED' and 'finished' or 'cancelled'
  end
  if state == 'STARTED' or state == 'RETRY' or state == 'FAILURE' then
    return 'cancelled'
  end
end

-- Within an attempt nothing goes back, and only a failure may be told once more.
local function of_order()
  if state == 'STARTED' then
    return most_restarts > 0 and starts > most_restarts + 1 and 'dead' or 'written'
  end
  if attempt == '' and state == 'REVOKED' and rank(was) == 1 then
    return 'started'
  end
  if attempt ~= '' and attempt ~= was_attempt then
    return 'written'
  end
  local ends_again = rank(state) == 3 and rank(was) == 3
  if rank(state) < rank(was) or (ends_again and not (state == 'FAILURE' and was == 'FAILURE')) then
    return 'late'
  end
  return 'written'
end

local function verdict()
  if overtaken then
    return 'late'
  end
  if was == 'SUCCESS' then
    return 'finished'
  end
  if asks then
    return of_cancel()
  end
  return cancelled and of_cancelled() or of_order()
end

local function add(first, data)
  redis.call('XADD', stream, 'MAXLEN', '~', given.most_entries, '*', 'run', ARGV[first],
    'kind', ARGV[first + 1], 'at', ARGV[first + 2], 'data', data)
end

-- A record must not stay for ever because something was noted in it out of turn.
local function limit()
  if keep_s > 0 and redis.call('TTL', record) == -1 then
    redis.call('EXPIRE', record, keep_waiting_s)
  end
end

-- When the answer is lost the same change comes again, and its lines stand in the stream already.
local function add_lines()
  if LINES == FIELDS or known[4] == token then
    return
  end
  for i = LINES, FIELDS - 1, 4 do
    add(i, ARGV[i + 3])
  end
  redis.call('HSET', record, 'lines', token)
  limit()
end

-- Who is not the run's worker does not know what the record does; joined as text, since a
-- value that is decoded and encoded again would not stay what it was.
local function completed(data)
  local names = {'task', 'args', 'queue', 'attempt', 'parent_id', 'root_id', 'tags', 'resubmit_of'}
  local parts = {}
  local is_read, told = pcall(cjson.decode, data)
  for i, value in ipairs(redis.call('HMGET', record, unpack(names))) do
    if value and value ~= 'null' and not (is_read and told[names[i]] ~= nil) then
      parts[#parts + 1] = '"' .. names[i] .. '": ' .. value
    end
  end
  if data ~= '{}' then
    parts[#parts + 1] = data:sub(2, -2)
  end
  return '{' .. table.concat(parts, ', ') .. '}'
end

-- The worker of the start before this one said, as it stopped, that it hands the run back.
local function with_hand_back(data)
  if not (starts_again and known[6] and known[7]) then
    return data
  end
  local told = '"handed_back": {"started_at": ' .. known[6] .. ', "at": ' .. known[7] .. '}}'
  return data == '{}' and '{' .. told or data:sub(1, -2) .. ', ' .. told
end

local function store_result()
  if keep_s > 0 then
    redis.call('SET', result, meta, 'EX', keep_s)
  else
    redis.call('SET', result, meta)
  end
end

local function write_record()
  local first = FIELDS + 2 * tonumber(given.kept)
  for i = FIELDS, first - 1, 2 do
    redis.call('HSETNX', record, ARGV[i], ARGV[i + 1])
  end
  redis.call('HSET', record, unpack(ARGV, first))
  if state == 'STARTED' or replays then
    redis.call('HSET', record, 'starts', replays and 0 or starts)
    redis.call('HDEL', record, 'handed_back')
  end
  if keep_s == 0 then
    redis.call('PERSIST', record)
  elseif rank(state) >= 3 and not forbids_start then
    redis.call('EXPIRE', record, keep_s)
  else
    -- Results are kept so long from their end on; how long an attempt takes, nobody knows.
    redis.call('EXPIRE', record, math.max(keep_s, keep_waiting_s))
  end
end

local function write()
  local data = with_hand_back(ARGV[EVENT + 3])
  if given.is_told == '1' then
    add(EVENT, attempt == '' and completed(data) or data)
  end
  write_record()
  if replays then
    -- Celery's clients wait for a result again.
    redis.call('DEL', result)
  end
  if meta ~= '' then
    store_result()
    redis.call('PUBLISH', result, meta)
  end
  redis.call('PUBLISH', record, ARGV[EVENT + 1])
end

add_lines()
local found = verdict()
if (forbids_start and found == 'written') or (asks and found == 'started') then
  redis.call('HSETNX', record, 'cancelled', '"' .. ARGV[EVENT + 2] .. '"')
  limit()
end
if found == 'written' then
  write()
elseif overtaken and state ~= 'DEAD' then
  -- A letter that stays is told of again and again.
  add(EVENT, ARGV[EVENT + 3])
end
return found
