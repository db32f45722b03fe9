{{- define "chaperone.selector" -}}
app.kubernetes.io/name: chaperone
app.kubernetes.io/component: operator
{{- end }}

{{- define "chaperone.labels" -}}
app.kubernetes.io/name: chaperone
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* chaperone.image: list of the context and the image's name in values.image */}}
{{- define "chaperone.image" -}}
{{- $root := index . 0 }}
{{- $image := get $root.Values.image (index . 1) }}
{{- $name := printf "%s/%s" $root.Values.image.registry $image.name }}
{{- if $image.digest }}{{ printf "%s@%s" $name $image.digest }}
{{- else }}{{ printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "chaperone.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}
