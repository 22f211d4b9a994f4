"""Images through the official SDK: what is built, what is remembered, what fails."""

import hashlib
import os
import pathlib
import tempfile

import modal
from modal.exception import ImageBuildError, InvalidError, NotFoundError


def raises(kind, call, *words):
    try:
        call()
    except kind as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in {error}"
        return error
    raise AssertionError(f"no {kind} was raised")


def logs(image, layers=1):
    return "".join(entry.message for entry in image.logs.fetch(layers=layers))


def commands():
    image = (
        modal.Image.debian_slim()
        .env({"PLAIN": "a b", "QUOTED": "it's $HOME \"so\""})
        .workdir("/somewhere")
        .run_commands("pwd", "printf '%s|%s\\n' \"$PLAIN\" \"$QUOTED\"", "echo kept > /kept.txt")
        .run_commands("cat /kept.txt; python -c 'import modal; print(modal.__version__)'; echo to-stderr >&2")
        .build(app)
    )
    text = logs(image, layers=2)
    for line in ["/somewhere\n", "a b|it's $HOME \"so\"\n", "kept\n", modal.__version__, "to-stderr\n"]:
        assert line in text, f"{line!r} is not in {text}"
    assert not pathlib.Path("/kept.txt").exists(), "a build wrote to the machine"


def cache():
    def build(text, **options):
        return modal.Image.debian_slim().run_commands(f"echo {text}; cat /proc/sys/kernel/random/uuid", **options).build(app)

    one, same, other = build("one"), build("one"), build("other")
    assert one.object_id == same.object_id != other.object_id
    assert logs(one) == logs(same)
    forced = build("one", force_build=True)
    assert logs(forced) != logs(one)
    assert build("one").object_id == forced.object_id, "what was forced is what is remembered"
    assert modal.Image.from_id(one.object_id).object_id == one.object_id


def failures():
    error = raises(
        ImageBuildError,
        lambda: modal.Image.debian_slim().run_commands("echo said before", "exit 7").build(app),
        "exit 7",
        "exit status 7",
    )
    image_id = str(error).split()[3]
    assert "said before\n" in logs(modal.Image.from_id(image_id))
    raises(Exception, lambda: modal.Image.from_id(image_id).build(app))
    raises(ImageBuildError, lambda: modal.Image.from_registry("UPPER/case").build(app), "lower case")
    raises(ImageBuildError, lambda: modal.Image.from_registry("alpine@sha256:12").build(app), "digest")
    raises(InvalidError, lambda: modal.Image.debian_slim().dockerfile_commands("FETCH x").build(app), "FETCH")
    raises(ImageBuildError, lambda: modal.Image.debian_slim().run_commands("no-such-program").build(app))


def files():
    (work / "tree" / "in").mkdir(parents=True)
    (work / "tree" / "a.txt").write_text("text of a\n")
    (work / "tree" / "in" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (work / "tree" / "in" / "run.sh").chmod(0o755)
    (work / "large.bin").write_bytes(os.urandom(5 * 1024 * 1024))
    digest = hashlib.sha256((work / "large.bin").read_bytes()).hexdigest()
    image = (
        modal.Image.debian_slim()
        .add_local_file(work / "large.bin", "/data/large.bin", copy=True)
        .add_local_dir(work / "tree", "/bin/tree", copy=True)
        .run_commands("sha256sum /data/large.bin", "cat /usr/bin/tree/a.txt", "/bin/tree/in/run.sh", "/bin/true")
        .build(app)
    )
    text = logs(image)
    assert digest in text and "text of a\n" in text and "ran\n" in text, text
    # Without a copy the files come with the container, and nothing can be built upon them.
    image = modal.Image.debian_slim().add_local_file(work / "large.bin", "/data/large.bin")
    raises(InvalidError, lambda: image.run_commands("true").build(app), "copy=True")


def dockerfile():
    (work / "Dockerfile").write_text(
        f"""# stages, arguments, patterns
ARG SERIES=3
FROM python:{'$'}SERIES AS maker
RUN mkdir -p /out/deep && echo made > /out/deep/file
FROM alpine@sha256:{'ab' * 32}
ARG COLOUR=red
ENV NAME=value \\
    # a comment in between
    OTHER="two words" PATH=/extra:$PATH
COPY --from=maker /out /final
COPY tree/*.txt /texts/
COPY --chmod=700 tree/in/run.sh ./here
WORKDIR relative
SHELL ["/bin/sh", "-euc"]
RUN pwd; cat /final/deep/file /texts/a.txt; echo $COLOUR $OTHER $PATH; stat -c %a /here; test ! -e /out
RUN ["echo", "exec form"]
CMD ["sleep", "5"]
ENTRYPOINT ["env"]
"""
    )
    image = modal.Image.from_dockerfile(
        work / "Dockerfile", context_dir=work, build_args={"COLOUR": "blue"}, ignore=["large.bin"]
    ).build(app)
    text = logs(image, layers=2)
    for line in ["/relative\n", "made\ntext of a\n", "blue two words /extra:", "700\n", "exec form\n"]:
        assert line in text, f"{line!r} is not in {text}"
    assert "ab" * 32 in text


def packages():
    image = (
        modal.Image.from_registry("ubuntu:24.04", add_python="3.11")
        .pip_install("modal")
        .uv_pip_install("modal")
        .apt_install("bash")
        .build(app)
    )
    assert "this machine has these packages" in logs(image)
    secret = modal.Secret.from_dict({"REGISTRY_USERNAME": "me", "REGISTRY_PASSWORD": "hidden"})
    modal.Image.from_registry("registry.example.com/team/app:v1", secret=secret).build(app)
    seen = modal.Image.debian_slim().run_commands("echo $TOKEN", env={"TOKEN": "from-a-secret"}).build(app)
    assert "from-a-secret\n" in logs(seen)
    with modal.Volume.ephemeral(version=2) as volume:
        modal.Image.debian_slim().run_commands("echo built > /v/file", volumes={"/v": volume}).build(app)
        assert b"".join(volume.read_file("file")) == b"built\n"


def names():
    raises(NotFoundError, lambda: modal.Image.from_name("absent").build(app), "absent")
    image = modal.Image.debian_slim().run_commands("true").build(app)
    image.publish("mine")
    image.publish("mine:v1")
    assert modal.Image.from_name("mine:v1").build(app).object_id == image.object_id
    upon = modal.Image.from_name("mine").run_commands("echo upon").build(app)
    assert "upon\n" in logs(upon)
    upon.publish("mine")
    assert modal.Image.from_name("mine").build(app).object_id == upon.object_id


def prepare(name, times=1):
    pathlib.Path("/prepared.txt").write_text(f"{name} " * times)
    print("prepared", name)


def broken():
    raise ValueError("not today")


def functions():
    image = modal.Image.debian_slim().run_function(prepare, args=("thing",), kwargs={"times": 2})
    seen = image.run_commands("cat /prepared.txt").build(app)
    assert "thing thing " in logs(seen)

    raises(ImageBuildError, lambda: modal.Image.debian_slim().run_function(broken, force_build=True).build(app), "not today")


# Containers import this module too, for the function above.
if __name__ == "__main__":
    app = modal.App.lookup("images", create_if_missing=True)
    work = pathlib.Path(tempfile.mkdtemp())
    for scenario in [functions, commands, cache, failures, files, dockerfile, packages, names]:
        scenario()
