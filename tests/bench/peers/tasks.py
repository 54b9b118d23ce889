"""The functions that peers run. Imported by their workers, too."""
import asyncio
import time

PIECE = 'x' * 10240


def same(x):
    return x


def grow(data):
    return data + PIECE


def total(values):
    return sum(values)


def sleep(x):
    time.sleep(0.5)
    return x


async def sleep_async(x):
    await asyncio.sleep(0.5)
    return x
