-- For wrk: a key for each request of each thread.
local thread, threads = 0, 0
function setup(t) t:set("id", threads) threads = threads + 1 end
function init() math.randomseed(os.time() + id) run = math.random(1, 1e9) n = 0 end
function request()
    n = n + 1
    return wrk.format("POST", nil, { ["Idempotency-Key"] = run .. "-" .. id .. "-" .. n })
end
