"""redis-py and valkey-py, which share their interface: `python.py redis|valkey PORT`.

tests/tests/clients.rs says what the lines mean.
"""

import importlib
import sys

# What Redis 7.0 says of a client. Both libraries have a parser of their own for it.
FIELDS = (
    "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll "
    "omem tot-mem events cmd user redir resp lib-name lib-ver"
).split()


def attempt(library, transaction):
    try:
        transaction()
    except library.exceptions.ResponseError as error:
        print("refused", error)
    else:
        print("done")


def main():
    library = importlib.import_module(sys.argv[1])
    client = getattr(library, {"redis": "Redis", "valkey": "Valkey"}[sys.argv[1]])(
        port=int(sys.argv[2]), decode_responses=True, single_connection_client=True, client_name="tester"
    )

    def default_pipeline():
        with client.pipeline() as pipeline:
            pipeline.incr("counter").incr("counter").execute()

    def watched(pipeline):
        pipeline.multi()
        pipeline.incr("counter").incr("counter")

    attempt(library, default_pipeline)
    attempt(library, default_pipeline)
    attempt(library, lambda: client.transaction(watched, "counter"))
    attempt(library, default_pipeline)

    with client.pipeline(transaction=False) as pipeline:
        print("plain", *pipeline.incr("plain").incr("plain").execute())
    client.set("greeting", "hello")
    print("usable", client.get("greeting"))

    for info in (client.client_info(), client.client_list()[-1]):
        missing = [field for field in FIELDS if field not in info]
        print("fields", info["name"], "without", *missing)


main()
