-- wrk -s load.lua URL -- FILE: sends the requests of FILE one after the other, from the first again after the last.
-- FILE holds each request as it goes over the wire, behind its length in bytes and a line feed.
local threads, requests, at = {}, {}, 0
statuses, unhinted = {}, 0

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function response(status, headers)
  statuses[status] = (statuses[status] or 0) + 1
  if status == 503 then
    for name in pairs(headers) do
      if name:lower() == "retry-after" then return end
    end
    unhinted = unhinted + 1
  end
end

-- 503s are sent at once: they are the fastest of all answers, and percentiles are of the others.
function done(summary, latency)
  local told = {}
  local good, refused, other, missing = 0, 0, 0, 0
  for _, thread in ipairs(threads) do
    missing = missing + thread:get("unhinted")
    for status, count in pairs(thread:get("statuses")) do
      if status == 503 then refused = refused + count
      elseif status >= 200 and status < 300 then good = good + count
      else other = other + count end
    end
  end
  local share = refused / math.max(1, good + refused + other)
  local function ms(quantile)
    return latency:percentile(math.min(100 * (share + (1 - share) * quantile), 99.999)) / 1000
  end
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format(
    '\nTALLY {"seconds": %.6f, "good": %d, "refused": %d, "without_retry_after": %d, "other": %d, "lost": %d, '
      .. '"p50_ms": %.4f, "p95_ms": %.4f, "p99_ms": %.4f}',
    summary.duration / 1e6, good, refused, missing, other, lost, ms(0.50), ms(0.95), ms(0.99)))
end
