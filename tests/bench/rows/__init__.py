"""The rows, in the order in which they are measured: one file per theme."""
from rows import (bucket, fans, footprint, hub, latency, limits, progress, queues, restart, scale,
                  sql, takeover, throughput, turns, values, waiting)

ROWS = [row for theme in (hub, limits, turns, scale, throughput, latency, queues, fans, waiting, progress,
                          restart, takeover, values, bucket, sql, footprint)
        for row in theme.ROWS]
