"""The steps of example.bue. A step is a function: what the step before returned comes in, what it
returns goes to the step after. Nothing here knows of workers, queues or retries."""
import random
import sqlite3
import time
import uuid

from buelon.core.step import Result, StepStatus


def accounts():
    """The list that the loop goes over."""
    return [{'id': number, 'name': f'Account {number}'} for number in range(1, 13)]


def request_report(account):
    """Asks a slow service for a report, and gets the number to ask after it with."""
    return {
        'account': account,
        'report_id': str(uuid.uuid4()),
        'ready_at': time.time() + random.uniform(0.1, 0.8),
    }


def get_status(config):
    """Not ready yet: the same question again later. Lost: the account starts over."""
    if uuid.UUID(config['report_id']).int % 10 == 0:
        print(f"report {config['report_id']} was lost; starting over")
        return Result(status=StepStatus.reset)
    if time.time() < config['ready_at']:
        return Result(status=StepStatus.pending)
    return config


def get_report(config):
    """Two members: what was asked, and the rows, which the SQL step takes as its table."""
    rows = random.Random(config['account']['id'])
    table = [
        {
            'campaign': f'campaign {number}',
            'spend': round(rows.uniform(5, 50), 2),
            'sales': round(rows.choice((0, 1, 1, 1)) * rows.uniform(20, 400), 2),
        }
        for number in range(1, 6)
    ]
    return {'config': config, 'table_data': table}


def transform_data(report):
    """The same two members; the rows now have `acos`, which the SQL step computed."""
    account = report['config']['account']
    for row in report['table_data']:
        row['account_id'] = account['id']
        row['wasteful'] = row['acos'] is None or row['acos'] > 0.5
    return report


def upload_to_db(report):
    """Stores the rows in example.db, in the worker's folder. A step may run twice (its worker may
    die before it could say that it was done), so it replaces what is there."""
    rows = report['table_data']
    database = sqlite3.connect('example.db', timeout=30)
    with database:
        database.execute(
            'create table if not exists campaigns (account_id, campaign, spend, sales, acos,'
            ' wasteful, primary key (account_id, campaign))')
        database.executemany(
            'insert or replace into campaigns values'
            ' (:account_id, :campaign, :spend, :sales, :acos, :wasteful)', rows)
    database.close()
    wasteful = sum(row['wasteful'] for row in rows)
    return {
        'account': report['config']['account']['name'],
        'rows': len(rows),
        'wasteful': wasteful,
    }
