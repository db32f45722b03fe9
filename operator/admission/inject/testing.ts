import { DEFAULT_RESOURCES, type InjectionContext, type InjectionSettings } from './context.ts';

/** A pod that a test takes apart. */
export type Loose = ReturnType<typeof JSON.parse>;

export const SETTINGS: InjectionSettings = {
  image: 'registry.example.com/chaperone/sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000',
  imagePullPolicy: 'IfNotPresent',
  operatorHost: 'chaperone.chaperone-system.svc',
  clusterDomain: 'cluster.local',
  clusterDns: ['10.96.0.10', 'fd00::a'],
  mode: 'Explicit',
  egress: 'Deny',
  resources: DEFAULT_RESOURCES,
  snapshotTtlSeconds: 3600,
  stateSize: '1Gi',
};

interface Overrides {
  readonly namespaceLabels?: Readonly<Record<string, string>>;
  readonly resources?: InjectionContext['resources'];
  readonly settings?: Partial<InjectionSettings>;
  readonly caBundle?: string;
}

/** An enabled namespace `shop` with one PostgreSQL. */
export function contextWith({ namespaceLabels, resources, settings, caBundle }: Overrides = {}): InjectionContext {
  return {
    namespace: { name: 'shop', labels: namespaceLabels ?? { 'chaperone.dev/injection': 'enabled' } },
    resources: resources ?? [{ namespace: 'shop', name: 'orders', address: { host: 'orders-db.shop.svc', port: 5432 } }],
    caBundle: caBundle ?? '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    settings: { ...SETTINGS, ...settings },
  };
}
