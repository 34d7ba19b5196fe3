/**
 * What a queue of BullMQ looks like when masters alone have written it, as scripts that put the rest right. A script, since
 * an entry moves between two commands, and what is half way is not wrong. They touch keys below the queue's own prefix
 * only, and follow no name that they read there.
 */

/** Of an entry. `moveToFinished` refuses while there are dependencies, and a removal may follow them. */
const SIDE_KEYS = ['dependencies', 'processed', 'failed', 'unsuccessful', 'logs']

export const NO_ENTRY = 'had an entry that is none'

const SHARED = `
local prefix = KEYS[1]
local function forget(id)
  redis.call('UNLINK', prefix .. id, prefix .. id .. ':lock')
  for _, side in ipairs({${SIDE_KEYS.map(side => `'${side}'`).join(', ')}}) do redis.call('UNLINK', prefix .. id .. ':' .. side) end
end
-- BullMQ wakes by it whoever waits; once too often costs one look. A full Redis refuses it: then nothing is taken anyway.
local function wake()
  if redis.call('EXISTS', prefix .. 'wait', prefix .. 'prioritized') > 0 then redis.pcall('ZADD', prefix .. 'marker', 0, '0') end
end
`

/**
 * KEYS: the queue's prefix. ARGV: 1 `delayed` when entries may be; 2 the length to which events are cut; 3 entries to look
 * at in each list, those taken next first; 4 of these, entries whose data is wanted; 5 bytes of data, together; 6 the
 * longest a lock or a check may last, in ms.
 * Answers: what was wrong; how many entries are left; id, data and, for a delayed one, the time of those that wait next.
 */
export const MEND = `${SHARED}
local mayDelay, maxEvents, window, wanted, bytesLeft, longestMs =
  ARGV[1] == 'delayed', ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local found, data = {}, {}
local function wrong(what) if #found < 20 then found[#found + 1] = what end end
local function drop(part, what) redis.call('UNLINK', prefix .. part) wrong(part .. ' ' .. what) end

local lists = {'active', 'wait', 'prioritized', 'delayed'}
local kinds = {
  active = 'list', wait = 'list', prioritized = 'zset', delayed = 'zset', meta = 'hash', marker = 'zset', events = 'stream',
  id = 'string', pc = 'string', stalled = 'set', ['stalled-check'] = 'string'
}
for part, kind in pairs(kinds) do
  local is = redis.call('TYPE', prefix .. part).ok
  if is ~= 'none' and is ~= kind then
    drop(part, 'was a ' .. is)
  end
end
local others = {paused = 1, completed = 1, failed = 1, ['waiting-children'] = 1, limiter = 1, ['repeat'] = 1}
for part in pairs(others) do
  if redis.call('EXISTS', prefix .. part) == 1 then drop(part, 'was there') end
end
if not mayDelay and redis.call('EXISTS', prefix .. 'delayed') == 1 then drop('delayed', 'was there') end

for _, part in ipairs({'id', 'pc'}) do
  local length = redis.call('STRLEN', prefix .. part)
  if length > 15 or (length > 0 and not string.match(redis.call('GET', prefix .. part), '^%d+$')) then drop(part, 'was no number') end
end
if redis.call('EXISTS', prefix .. 'stalled-check') == 1 then
  local left = redis.call('PTTL', prefix .. 'stalled-check')
  if left < 0 or left > longestMs then drop('stalled-check', 'did not end') end
end

if redis.call('HLEN', prefix .. 'meta') > 20 then drop('meta', 'had too many fields') end
for _, field in ipairs(redis.call('HKEYS', prefix .. 'meta')) do
  if field == 'opts.maxLenEvents' then
    local isShort = redis.call('HSTRLEN', prefix .. 'meta', field) < 6
    if not (isShort and string.match(redis.call('HGET', prefix .. 'meta', field), '^%d+$')) then
      redis.call('HSET', prefix .. 'meta', field, maxEvents)
      wrong('meta had another ' .. field)
    end
  elseif field ~= 'version' then
    redis.call('HDEL', prefix .. 'meta', field)
    wrong('meta had ' .. string.sub(field, 1, 40))
  end
end

if redis.call('ZCARD', prefix .. 'marker') > 2 then drop('marker', 'had too many members') end
local markers = redis.call('ZRANGE', prefix .. 'marker', 0, -1, 'WITHSCORES')
for at = 1, #markers, 2 do
  local member = markers[at]
  if (member ~= '0' and member ~= '1') or (member == '0' and tonumber(markers[at + 1]) ~= 0) then
    redis.call('ZREM', prefix .. 'marker', member)
    wrong('marker had another member')
  end
end

if redis.call('EXISTS', prefix .. 'events') == 1 then
  if redis.call('MEMORY', 'USAGE', prefix .. 'events') > 16777216 then drop('events', 'was too large')
  else
    local info = redis.call('XINFO', 'STREAM', prefix .. 'events')
    local now = redis.call('TIME')
    for at = 1, #info, 2 do
      -- An id of the future is no harm until the last one there can be.
      if info[at] == 'last-generated-id' and tonumber(string.match(info[at + 1], '^%d+')) / 1000 > now[1] + 86400 then
        drop('events', 'had an id of the future')
      end
    end
  end
end

-- The name of another key of the queue, or of another entry's, is not to be followed.
local function isName(id)
  return #id <= 200 and not string.find(id, ':', 1, true) and not kinds[id] and not others[id]
end
local function isEntry(id)
  if not isName(id) then return false end
  local key = prefix .. id
  if redis.call('TYPE', key).ok ~= 'hash' or redis.call('HLEN', key) > 40 then return false end
  if redis.call('HSTRLEN', key, 'opts') > 1000 or redis.call('HSTRLEN', key, 'data') > 67108864 then return false end
  local has = redis.call('HMGET', key, 'opts', 'timestamp', 'delay', 'priority', 'parentKey', 'parent', 'rjk', 'deid', 'defa')
  for at = 5, 9 do if has[at] then return false end end
  for at = 2, 4 do if not tonumber(has[at] or 'none') then return false end end
  local isJson, opts = pcall(cjson.decode, has[1] or '')
  return isJson and type(opts) == 'table'
end
local function take(part, id)
  if kinds[part] == 'list' then redis.call('LREM', prefix .. part, 0, id) else redis.call('ZREM', prefix .. part, id) end
end

local seen, total = {}, 0
for _, part in ipairs(lists) do
  local ids
  if kinds[part] == 'list' then
    total = total + redis.call('LLEN', prefix .. part)
    ids = redis.call('LRANGE', prefix .. part, -window, -1)
  else
    total = total + redis.call('ZCARD', prefix .. part)
    ids = redis.call('ZRANGE', prefix .. part, 0, window - 1)
  end
  for at = 1, #ids do
    -- Of a list the last is taken next.
    local id = kinds[part] == 'list' and ids[#ids + 1 - at] or ids[at]
    local key = prefix .. id
    if seen[id] then
      if seen[id] ~= part then take(part, id) else redis.call('LREM', prefix .. part, 1, id) end
      wrong('an entry was in it twice')
      total = total - 1
    elseif not isEntry(id) then
      take(part, id)
      if isName(id) then forget(id) end
      wrong(part .. ' ${NO_ENTRY}')
      total = total - 1
    else
      seen[id] = part
      for _, side in ipairs({${SIDE_KEYS.slice(0, 4)
        .map(side => `'${side}'`)
        .join(', ')}}) do
        if redis.call('UNLINK', key .. ':' .. side) == 1 then wrong('an entry had ' .. side) end
      end
      local lock = redis.call('TYPE', key .. ':lock').ok
      local left = redis.call('PTTL', key .. ':lock')
      if lock ~= 'none' and (lock ~= 'string' or left < 0 or left > longestMs) then
        redis.call('UNLINK', key .. ':lock')
        wrong('an entry was locked for ever')
      end
      if part ~= 'active' and at <= wanted and bytesLeft > 0 then
        local text = redis.call('HGET', key, 'data') or ''
        bytesLeft = bytesLeft - #text
        if bytesLeft > 0 then
          data[#data + 1] = id
          data[#data + 1] = text
          data[#data + 1] = part == 'delayed' and redis.call('ZSCORE', prefix .. part, id) or ''
        end
      end
    end
  end
end
wake()
return {found, total, data}
`

/** KEYS: the prefix. Takes every entry out of its list; the entries themselves stay until they are missed. */
export const CLEAR = `${SHARED}
return redis.call('UNLINK', prefix .. 'wait', prefix .. 'prioritized', prefix .. 'delayed', prefix .. 'active')
`

/** KEYS: the prefix. ARGV: ids. Removes entries that wait; one that somebody has taken stays. Answers those removed. */
export const REMOVE = `${SHARED}
local removed = {}
for _, id in ipairs(ARGV) do
  local count = redis.call('ZREM', prefix .. 'prioritized', id) + redis.call('ZREM', prefix .. 'delayed', id) + redis.call('LREM', prefix .. 'wait', 0, id)
  if count > 0 then
    forget(id)
    removed[#removed + 1] = id
  end
end
return removed
`

/**
 * KEYS: the prefix. ARGV: ids. An entry that is in no list is never taken, and never added again, as its name is there: one
 * with a lock is running and belongs to the active ones, others are forgotten. Answers how many.
 */
export const MISS = `${SHARED}
local known, count = {}, 0
for _, part in ipairs({'wait', 'active'}) do
  for _, id in ipairs(redis.call('LRANGE', prefix .. part, 0, -1)) do known[id] = true end
end
for _, id in ipairs(ARGV) do
  if not known[id] and redis.call('EXISTS', prefix .. id) == 1 and not redis.call('ZSCORE', prefix .. 'prioritized', id)
    and not redis.call('ZSCORE', prefix .. 'delayed', id) then
    count = count + 1
    if redis.call('TYPE', prefix .. id).ok == 'hash' and redis.call('PTTL', prefix .. id .. ':lock') > 0 then
      redis.call('LPUSH', prefix .. 'active', id)
    else
      forget(id)
    end
  end
end
return count
`

/** KEYS: the prefix. Removes what an empty queue leaves; 0: it is not empty. */
export const FORGET = `${SHARED}
if redis.call('EXISTS', prefix .. 'wait', prefix .. 'prioritized', prefix .. 'delayed', prefix .. 'active') > 0 then return 0 end
for _, part in ipairs({'meta', 'events', 'id', 'pc', 'marker', 'stalled', 'stalled-check'}) do redis.call('UNLINK', prefix .. part) end
return 1
`
