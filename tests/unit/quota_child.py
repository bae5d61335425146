"""Another process that spends the same quota: it prints how many of 100 simultaneous requests were admitted."""

import asyncio
import sys

from rag.errors import RateLimited
from rag.quotas import Quotas, open_limiter


async def main(url: str) -> int:
    limiter = open_limiter(Quotas(600, 1000, 1000), redis_url=url, redis_lost="fail_closed")
    outcomes = await asyncio.gather(*(limiter.reserve("p", "demo", 10) for _ in range(100)), return_exceptions=True)
    await limiter.aclose()
    unexpected = [each for each in outcomes if isinstance(each, BaseException) and not isinstance(each, RateLimited)]
    assert not unexpected, unexpected
    return sum(not isinstance(each, RateLimited) for each in outcomes)


if __name__ == "__main__":
    print(asyncio.run(main(sys.argv[1])))
