{{- define "arcadia-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* The name of all objects, or its prefix. Short enough for the longest suffix. */}}
{{- define "arcadia-operator.fullname" -}}
{{- $name := include "arcadia-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "arcadia-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "arcadia-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: set the ServiceAccount to use, since serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "arcadia-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "arcadia-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "arcadia-operator.labels" -}}
{{ include "arcadia-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "arcadia-operator.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- /* Checks that no schema can express. Each message names the remedy. */}}
{{- define "arcadia-operator.check" -}}
{{- $flags := dict "--sync-schedule" "syncSchedule" "--detect-schedule" "detectSchedule" "--namespace" "watchNamespaces" "--inventory-max-age" "inventoryMaxAge" "--drift-history-limit" "driftHistoryLimit" "--settle-time" "sagas.settleTime" "--action-poll-interval" "sagas.actionPollInterval" "--digitalocean-token-file" "digitalocean.tokenSecret" "--digitalocean-api-url" "digitalocean.apiUrl" "--requests-per-minute" "digitalocean.requestsPerMinute" "--requests-per-hour" "digitalocean.requestsPerHour" "--metrics-address" "metrics.address and metrics.port" "--log-format" "log.format" }}
{{- range .Values.extraArgs }}
{{- $flag := first (splitList "=" .) }}
{{- with get $flags $flag }}
{{- fail (printf "extraArgs: %s is set by the value %s" $flag .) }}
{{- end }}
{{- if and (eq . "--leader-elect=false") (gt (int $.Values.replicas) 1) }}
{{- fail "extraArgs: without leader election there may be one replica only; set replicas to 1" }}
{{- end }}
{{- end }}
{{- if and .Values.admissionPolicies.create .Values.admissionPolicies.mutating (semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail (printf "admissionPolicies.mutating: a MutatingAdmissionPolicy needs Kubernetes 1.36, and this is %s; set admissionPolicies.mutating to false (helm template takes --kube-version)" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- end }}
