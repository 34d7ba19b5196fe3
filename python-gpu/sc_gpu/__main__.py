"""`python -m sc_gpu`: the slot's process; `python -m sc_gpu fetch-model NAME`: puts a model into the models folder."""

import sys

from sc_gpu.protocol.descriptors import claim_stdin, claim_stdout


def main(arguments: list[str]) -> int:
    # Before anything heavy is imported: a library that prints must not write into the protocol.
    protocol_fd = claim_stdout()
    if arguments and arguments[0] == "fetch-model":
        from sc_gpu.models.fetch import fetch_from_command_line

        return fetch_from_command_line(arguments[1:])
    if arguments:
        print(f"Unknown command {arguments[0]!r}; there is `fetch-model NAME`.", file=sys.stderr)
        return 2
    from sc_gpu.serve import serve

    return serve(claim_stdin(), protocol_fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
