package dial

import "go.temporal.io/sdk/client"

// Namespace returns the namespace that Client connects to.
func Namespace() (string, error) {
	profile, err := settings()
	if err != nil || profile.Namespace != "" {
		return profile.Namespace, err
	}
	return client.DefaultNamespace, nil
}

// Address returns the host and port of the server that Client connects to.
func Address() (string, error) {
	profile, err := settings()
	return profile.Address, err
}
