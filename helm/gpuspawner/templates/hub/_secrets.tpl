{{/* Keys of the Secret that need not be there, as a JSON list: a hub without them lacks what they are for. */}}
{{- define "gpuspawner.optionalSecretKeys" -}}
{{- $keys := list "crypt-keys" "admin-password" }}
{{- range $name, $service := include "gpuspawner.services" . | fromJson }}
{{- if not (get ($service | default dict) "api_token") }}
{{- $keys = append $keys (printf "service-token.%s" $name) }}
{{- end }}
{{- end }}
{{- toJson $keys }}
{{- end }}

{{/*
What the Secret holds, as JSON of plain texts: what it held before, and new random texts for keys that are not there.
Worked out once for a rendering, so that checksums of pods are those of what is stored.
*/}}
{{- define "gpuspawner.generatedSecrets" -}}
{{- if not (hasKey .Values "generatedSecrets") }}
{{- $stored := lookup "v1" "Secret" .Release.Namespace (printf "%s-secrets" (include "gpuspawner.fullname" .)) }}
{{- $secrets := dict }}
{{- range $key, $value := $stored.data | default dict }}
{{- $_ := set $secrets $key (b64dec $value) }}
{{- end }}
{{- range concat (list "cookie-secret" "proxy-token") (include "gpuspawner.optionalSecretKeys" . | fromJsonArray) }}
{{- if not (get $secrets .) }}
{{- $_ := set $secrets . (has . (list "cookie-secret" "crypt-keys") | ternary (randAlphaNum 64 | sha256sum) (randAlphaNum 48)) }}
{{- end }}
{{- end }}
{{- $_ := set .Values "generatedSecrets" $secrets }}
{{- end }}
{{- toJson .Values.generatedSecrets }}
{{- end }}

{{/*
Changes when a generated secret does: (dict "context" $), or of some keys only: (dict "context" $ "keys" (list ...)).
Of a Secret of the user's own it is that of its name.
*/}}
{{- define "gpuspawner.secretsChecksum" -}}
{{- if .context.Values.hub.existingSecret }}
{{- .context.Values.hub.existingSecret | sha256sum }}
{{- else }}
{{- $secrets := include "gpuspawner.generatedSecrets" .context | fromJson }}
{{- $counted := dict }}
{{- range .keys | default (keys $secrets) }}
{{- $_ := set $counted . (get $secrets .) }}
{{- end }}
{{- $counted | toJson | sha256sum }}
{{- end }}
{{- end }}

{{/*
Changes when hub.secretConfig or hub.extraConfig do. Who reads pods must not be able to try passwords with it: the
cookie secret, where the chart makes it, goes into it.
*/}}
{{- define "gpuspawner.secretValuesChecksum" -}}
{{- $salt := "" }}
{{- if not .Values.hub.existingSecret }}
{{- $salt = get (include "gpuspawner.generatedSecrets" . | fromJson) "cookie-secret" }}
{{- end }}
{{- printf "%s%s" $salt (include "gpuspawner.secretValues" .) | sha256sum }}
{{- end }}
