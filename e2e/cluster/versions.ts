/** What the cluster is made of. The Kubernetes and etcd versions stand in go/go.mod, which is what they are built from. */
export const KUBERNETES = '1.36.3';

export type Recipe =
  /** A command of the module in go/. */
  | { readonly kind: 'module'; readonly path: string; readonly minutes: number }
  /** A command whose own go.mod says what it is built with. */
  | { readonly kind: 'install'; readonly path: string; readonly version: string; readonly minutes: number };

/** `minutes` is about how long a cold build takes on two cores. */
export const RECIPES = {
  etcd: { kind: 'module', path: 'go.etcd.io/etcd/server/v3', minutes: 1 },
  'kube-apiserver': { kind: 'module', path: 'k8s.io/kubernetes/cmd/kube-apiserver', minutes: 5 },
  kubectl: { kind: 'module', path: 'k8s.io/kubernetes/cmd/kubectl', minutes: 1 },
  kubelet: { kind: 'module', path: 'k8s.io/kubernetes/cmd/kubelet', minutes: 2 },
  'kube-controller-manager': { kind: 'module', path: 'k8s.io/kubernetes/cmd/kube-controller-manager', minutes: 1 },
  'kube-scheduler': { kind: 'module', path: 'k8s.io/kubernetes/cmd/kube-scheduler', minutes: 1 },
  'kube-proxy': { kind: 'module', path: 'k8s.io/kubernetes/cmd/kube-proxy', minutes: 1 },
  pause: { kind: 'module', path: './pause', minutes: 1 },
  helm: { kind: 'install', path: 'helm.sh/helm/v4/cmd/helm', version: 'v4.3.1', minutes: 3 },
  versitygw: { kind: 'install', path: 'github.com/versity/versitygw/cmd/versitygw', version: 'v1.8.0', minutes: 2 },
  coredns: { kind: 'install', path: 'github.com/coredns/coredns', version: 'v1.15.0', minutes: 3 },
  kubeconform: { kind: 'install', path: 'github.com/yannh/kubeconform/cmd/kubeconform', version: 'v0.8.0', minutes: 1 },
} as const satisfies Record<string, Recipe>;

export type BinaryName = keyof typeof RECIPES;
