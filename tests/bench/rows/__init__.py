"""The rows, in the order in which they are measured: one file per theme."""
from rows import (fans, hub, latency, queues, restart, small_things, sql, takeover, throughput, values,
                  waiting)

ROWS = [row for theme in (hub, throughput, latency, queues, fans, waiting, restart, takeover,
              values, sql, small_things)
        for row in theme.ROWS]
