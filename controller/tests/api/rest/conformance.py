"""What programs do with the official Python client, against the members whose kubeconfigs are the arguments.

The other side speaks by lines: it is told `kill` when a member may be killed, and answers when it has done so.
"""

import sys
import time

import urllib3
from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

GROUP, VERSION = "quorate.dev", "v1alpha1"
NETWORKS = (GROUP, VERSION, "networks")


def network(name, **spec):
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Network",
        "metadata": {"name": name},
        "spec": {"addressing": "None", **spec},
    }


def name_of(item):
    return item["metadata"]["name"]


class Informer:
    """A copy of all networks: list, watch from there, go on where the watch ended, list again when that is too old."""

    def __init__(self, connections):
        self.connections = connections
        self.known = {}
        self.version = None
        self.lists = 0
        self.gone = 0
        self.bookmarks = 0

    def list(self):
        listed = self.connections[0].list_cluster_custom_object(*NETWORKS)
        self.known = {item["metadata"]["name"]: item for item in listed["items"]}
        self.version = listed["metadata"]["resourceVersion"]
        self.lists += 1

    def follow(self, seconds=1):
        """One watch, to its end."""
        if self.version is None:
            self.list()
        stream = watch.Watch().stream(
            self.connections[0].list_cluster_custom_object,
            *NETWORKS,
            resource_version=self.version,
            allow_watch_bookmarks=True,
            timeout_seconds=seconds,
        )
        try:
            for event in stream:
                self.take(event)
        except ApiException as error:
            if error.status != 410:
                raise
            self.gone += 1
            self.version = None
        except (urllib3.exceptions.HTTPError, ApiException):
            self.connections.append(self.connections.pop(0))

    def take(self, event):
        metadata = event["object"]["metadata"]
        self.version = metadata["resourceVersion"]
        if event["type"] == "BOOKMARK":
            self.bookmarks += 1
        elif event["type"] == "DELETED":
            self.known.pop(metadata["name"], None)
        else:
            self.known[metadata["name"]] = event["object"]

    def until(self, condition, what):
        """Follows until it is so; the other side gives up when it takes for ever."""
        while not condition():
            try:
                self.follow()
            except urllib3.exceptions.HTTPError:
                self.connections.append(self.connections.pop(0))
            except ApiException as error:
                # No leader for a moment.
                if error.status not in (429, 500, 503, 504):
                    raise
                time.sleep(0.05)
        print(f"seen: {what}", flush=True)


def persistently(connections, call):
    """Writes as a program does that outlives a leader: at another member, when one is gone or knows no leader."""
    while True:
        try:
            return call(connections[0])
        except urllib3.exceptions.HTTPError:
            connections.append(connections.pop(0))
        except ApiException as error:
            if error.status == 409:
                return None
            if error.status not in (429, 500, 503, 504):
                raise
            time.sleep(0.05)


def main(paths):
    urllib3.util.retry.Retry.DEFAULT = urllib3.util.retry.Retry(0)
    connections = [client.CustomObjectsApi(config.new_client_from_config(path)) for path in paths]
    api = connections[0]

    # Verbs.
    created = api.create_cluster_custom_object(*NETWORKS, network("a"))
    assert created["metadata"]["uid"], created
    try:
        api.create_cluster_custom_object(*NETWORKS, network("a"))
        raise AssertionError("created twice")
    except ApiException as error:
        assert error.status == 409, error
    created["spec"]["mtu"] = 9000
    api.replace_cluster_custom_object(*NETWORKS, "a", created)
    try:
        api.replace_cluster_custom_object(*NETWORKS, "a", created)
        raise AssertionError("replaced an old version")
    except ApiException as error:
        assert error.status == 409, error
    patched = api.patch_cluster_custom_object(*NETWORKS, "a", {"spec": {"mtu": 8000}})
    assert patched["spec"]["mtu"] == 8000
    kinds = dynamic.DynamicClient(api.api_client).resources
    networks = kinds.get(api_version=f"{GROUP}/{VERSION}", kind="Network")
    networks.server_side_apply(name="b", body=network("b"), field_manager="python")
    assert [item.metadata.name for item in networks.get().items] == ["a", "b"]
    pages = api.list_cluster_custom_object(*NETWORKS, limit=1)
    rest = api.list_cluster_custom_object(*NETWORKS, _continue=pages["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b"]

    # A watch that ends and goes on.
    informer = Informer(list(connections))
    informer.list()
    api.create_cluster_custom_object(*NETWORKS, network("c"))
    informer.until(lambda: "c" in informer.known, "what was created")
    api.delete_cluster_custom_object(*NETWORKS, "c")
    informer.until(lambda: "c" not in informer.known, "what was deleted")
    assert informer.lists == 1, "nothing had to be listed again"

    # A quiet watch ends with a bookmark, from which the next one goes on though more was written than is kept.
    for round in range(4):
        for number in range(32):
            secret = {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "Secret",
                "metadata": {"name": f"s{round}-{number}"},
                "spec": {},
            }
            api.create_cluster_custom_object(GROUP, VERSION, "secrets", secret)
        informer.follow()
    assert informer.bookmarks >= 4, "each watch has ended with one"
    assert (informer.lists, informer.gone) == (1, 0), "nothing had to be listed again"

    # A version that is no longer kept: the short history of these members forgets it.
    for number in range(100):
        api.patch_cluster_custom_object(*NETWORKS, "a", {"spec": {"mtu": 1500 + number}})
    informer.until(lambda: informer.known["a"]["spec"]["mtu"] == 1599, "what was compacted")
    assert informer.gone >= 1 and informer.lists >= 2, "it was told that the version is gone"

    # A leader that is killed while it is watched.
    lists = informer.lists
    print("kill", flush=True)
    assert sys.stdin.readline().strip() == "killed"
    writers = list(connections)
    for name in ("d", "e", "f"):
        persistently(writers, lambda api: api.create_cluster_custom_object(*NETWORKS, network(name)))
    persistently(writers, lambda api: api.delete_cluster_custom_object(*NETWORKS, "e"))
    informer.until(lambda: "d" in informer.known and "f" in informer.known, "what was created without the first leader")
    informer.until(lambda: "e" not in informer.known, "what was deleted without it")
    assert informer.lists == lists, "nothing had to be listed again"

    def holds_what_is_there():
        there = connections[1].list_cluster_custom_object(*NETWORKS)["items"]
        return sorted(informer.known.values(), key=name_of) == sorted(there, key=name_of)

    informer.until(holds_what_is_there, "all that is there")
    print("done", flush=True)


main(sys.argv[1:])
