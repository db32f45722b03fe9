import { type EgressPolicy, POD_PORTS } from '#crds/control/names.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { Egress, type EgressVerdict, type UnmonitoredEgress } from '../confine/egress.ts';
import { TargetTable } from '../confine/targets.ts';
import { TransparentListener } from '../confine/transparent.ts';
import { isRefused, type NameService } from '../upstream/names.ts';
import { StartError } from './address.ts';
import type { Entrances, ListenersOptions } from './listeners.ts';

export interface TransparentEntranceOptions extends Pick<ListenersOptions, 'workload' | 'log' | 'serve' | 'doorOf'> {
  readonly egress: EgressPolicy;
  readonly names: NameService;
  readonly onEgress: (verdict: EgressVerdict) => void;
  readonly now: () => number;
  readonly port?: number;
}

/** Transparent mode: one listener for all that leaves the pod. No resource comes too late for it. */
export class TransparentEntrance implements Entrances {
  readonly addresses = new Map<string, never>();
  readonly missing = [];
  readonly #listener: TransparentListener;
  readonly #targets: TargetTable;
  readonly #egress: Egress;
  #resources: readonly SnapshotResource[] = [];
  #opening: Promise<void> | null = null;

  constructor(options: TransparentEntranceOptions) {
    const { names, now, log, workload, serve, doorOf, port = POD_PORTS.transparent, egress: policy, onEgress } = options;
    this.#targets = new TargetTable({
      resources: () => this.#resources,
      addresses: (host, namespace) => names.addresses(host, namespace),
      now,
    });
    this.#egress = new Egress({ policy, log, onEgress, isRefused, now });
    this.#listener = new TransparentListener({
      port,
      workload,
      targets: this.#targets,
      egress: this.#egress,
      log,
      serve,
      ...(doorOf && { doorOf }),
    });
  }

  get connections(): Entrances['connections'] {
    return this.#listener.connections;
  }

  get ready(): boolean {
    return this.#listener.isOpen;
  }

  takeEgress(): readonly UnmonitoredEgress[] {
    return this.#egress.take();
  }

  async reconcile(resources: readonly SnapshotResource[]): Promise<void> {
    this.#resources = resources;
    void this.#targets.refresh();
    this.#opening ??= this.#listener.open().catch((error: unknown) => {
      this.#opening = null;
      throw new StartError(error instanceof Error ? error.message : 'can not listen');
    });
    await this.#opening;
  }

  async close(): Promise<void> {
    this.#targets.close();
    await this.#listener.close();
  }
}
