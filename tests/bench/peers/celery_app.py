"""The Celery application, for its workers and for celery_peer.py. PEER_PORT: where its Redis listens."""
import os

import celery
import tasks

URL = f'redis://127.0.0.1:{os.environ["PEER_PORT"]}/0'

app = celery.Celery('celery_app', broker=URL, backend=URL)
app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True,
                worker_prefetch_multiplier=100)

same = app.task(tasks.same, name='same')
grow = app.task(tasks.grow, name='grow')
total = app.task(tasks.total, name='total')
sleep = app.task(tasks.sleep, name='sleep')
