-- KEYS: 1 subjects 2 marker 3 meta 4 log 5 ids0 6 ids1 7 hours 8 days 9.. boards
local rcall, pack, unpackm, fmt = redis.call, cmsgpack.pack, cmsgpack.unpack, string.format
local head = unpackm(ARGV[1]) -- now, seq, hasIds
local m = rcall('GET', KEYS[2])
if m then return {'again', m} end
local S, G = unpackm(ARGV[2]), unpackm(ARGV[3])
local ids = unpackm(ARGV[4])
local nid = #ids
if nid > 0 then
  for k = 5, 6 do
    local f = rcall('HMGET', KEYS[k], unpack(ids))
    for i = 1, nid do if f[i] then return {'dup', i} end end
  end
end
local recs = rcall('HMGET', KEYS[1], unpack(S))
local n = rcall('HINCRBY', KEYS[3], 'batches', 1)
local finals, prevs = {}, {}
local hset, boards = {}, {}
local p, nf, np = 1, 0, 0
local max = 9007199254740991
local ranked = 3
local z, nz = {}, 0
for i = 1, #S do
  local cnt, first, last, day, k = G[p], G[p+1], G[p+2], G[p+3], G[p+4]
  p = p + 5
  local r = recs[i]
  local t
  if r then
    t = unpackm(r)
    if first < t[1] then t[1] = first end
    if last > t[2] then t[2] = last end
    t[3] = t[3] + cnt
    prevs[i] = t[4]
    t[4] = n
    if day ~= t[5] then return {'roll'} end
    t[6] = t[6] + cnt
  else
    t = {first, last, cnt, n, day, cnt}
    prevs[i] = 0
  end
  local q = 7
  for j = 1, k do
    local c, a = G[p], G[p+1]
    p = p + 2
    while t[q] and t[q] ~= c do q = q + 3 end
    if not t[q] then
       q = 7
       while t[q] and t[q] ~= c do q = q + 3 end
    end
    local v, d = (t[q+1] or 0) + a, (t[q+2] or 0) + a
    if v > max then return {'over'} end
    t[q], t[q+1], t[q+2] = c, v, d
    nf = nf + 1
    finals[nf] = v
    if c == ranked then z[nz+1] = d; z[nz+2] = S[i]; nz = nz + 2 end
    q = q + 3
  end
  hset[2*i-1] = S[i]
  hset[2*i] = pack(t)
end
-- cells
local C, CF = unpackm(ARGV[5]), unpackm(ARGV[6])
local function cells(key)
  local old = rcall('HMGET', key, unpack(CF))
  local w, p = {}, 1
  for i = 1, #CF do
    local t = old[i] and unpackm(old[i]) or {0}
    t[1] = t[1] + C[p]
    local k = C[p+1]
    p = p + 2
    local q = 2
    for j = 1, k do
      local c, a = C[p], C[p+1]
      p = p + 2
      while t[q] and t[q] ~= c do q = q + 2 end
      t[q], t[q+1] = c, (t[q+1] or 0) + a
      q = q + 2
    end
    w[2*i-1] = CF[i]
    w[2*i] = pack(t)
  end
  rcall('HSET', key, unpack(w))
end
rcall('HSET', KEYS[1], unpack(hset))
if nz > 0 then rcall('ZADD', KEYS[9], unpack(z)) end
cells(KEYS[7]) cells(KEYS[8])
local res = pack({n, prevs, finals})
rcall('XADD', KEYS[4], fmt('%.0f-1', n), 'b', ARGV[7], 'r', res)
if nid > 0 then
  local ptr = struct.pack('>I6', n)
  local w = {}
  for i = 1, nid do w[2*i-1] = ids[i]; w[2*i] = ptr .. struct.pack('>I2', i) end
  rcall('HSET', KEYS[5], unpack(w))
end
rcall('SET', KEYS[2], n, 'EX', 600)
return {'ok', res}
